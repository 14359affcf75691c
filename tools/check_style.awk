# check_style.awk: the rules that can be seen in a line of C, for check_style.sh. First argument: layers.txt.
# Prints "file:line: rule: what" for each violation.

function report(rule, what) { printf "%s:%d: %s: %s\n", FILENAME, FNR, rule, what }

# The line without comments and without the insides of strings; `in_comment` carries over lines.
function code_of(line,    out, at, two, c, quote) {
    out = ""
    for (at = 1; at <= length(line); at++) {
        two = substr(line, at, 2)
        c = substr(line, at, 1)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; at++ }
        } else if (two == "/*") { in_comment = 1; at++ }
        else if (two == "//") return out
        else if (c == "\"" || c == "'") {
            quote = c
            for (at++; at <= length(line) && substr(line, at, 1) != quote; at++)
                if (substr(line, at, 1) == "\\") at++
            out = out quote quote
        } else out = out c
    }
    return out
}

# Is `word` followed by "(" a whole word in the code?
function calls(code, word) { return (" " code) ~ ("[^A-Za-z0-9_]" word "[ ]*\\(") }

function layer_of(path,    part, n) {
    n = split(path, part, "/")
    return part[1] == "lib" ? part[2] : part[1]
}

function begin_file() {
    layer = layer_of(FILENAME)
    is_lib = FILENAME ~ /^lib\//
    is_header = FILENAME ~ /\.h$/
    is_test = FILENAME ~ /^tests\//
    is_program = FILENAME ~ /^(target_node|draft_node|coordinator)\//
    numeric = FILENAME ~ /^lib\/(kernels|rules|spec|kv|backend|audio|text)\//
    limit = (is_test || FILENAME ~ /^lib\/kernels\//) ? 100 : 70
    in_comment = 0; body = 0; includes = 0; guard = ""; guarded = 0; too_long = 0
    files[FILENAME] = 1
    if (is_lib && !(layer in allowed)) report("layers", "folder lib/" layer " is not in tools/layers.txt")
}

function check_include(line,    name, target) {
    match(line, /["<][^">]+[">]/)
    name = substr(line, RSTART + 1, RLENGTH - 2)
    included[name] = 1
    own = FILENAME; sub(/^lib\//, "", own); sub(/\.c$/, ".h", own)
    if (++includes == 1 && is_lib && !is_header && ("lib/" own) in exists && name != own)
        report("own-header-first", "include \"" own "\" before all others")
    for (library in home)
        if (index(name, library) && is_lib && index(home[library], " " layer " ") == 0)
            report("confinement", "<" name "> may only be included in lib/{" home[library] "}")
    if (line !~ /"/ || is_test || FILENAME ~ /^bench\//) return
    target = name; sub(/\/.*/, "", target)
    if (name ~ /^\.\.?\// || name !~ /\//) {
        if (is_lib && name !~ /\.pb-c\.h$/) report("include-form", "write \"folder/" name "\"")
        return
    }
    if (target == layer || (layer in allowed && index(allowed[layer], " " target " "))) return
    report("layers", layer " may not include " target "/ (tools/layers.txt)")
}

function check_words(code,    i) {
    for (i = 1; i <= n_banned; i++)
        if (index(code, banned[i]) && calls(code, banned[i]))
            report("banned-call", banned[i] "()")
    if (is_lib && FILENAME != "lib/base/status.c")
        for (i = 1; i <= n_enders; i++)
            if (index(code, enders[i]) && calls(code, enders[i]))
                report("banned-call", enders[i] "(): only a program's main file ends the process")
    if (is_program && FILENAME !~ /\/main\.c$/ && calls(code, "exit"))
        report("banned-call", "exit() outside main.c")
    gsub(/[Gg][Rr][Pp][Cc]__health__/, "", code)  # protoc-c's names for the package grpc.health.v1
    for (prefix in prefix_home)
        if (is_lib && index(code, prefix) && (" " code) ~ ("[^A-Za-z0-9_]" prefix) &&
            index(prefix_home[prefix], " " layer " ") == 0)
            report("confinement", prefix "... may only be used in lib/{" prefix_home[prefix] "}")
    if (numeric && code ~ /^static [^(]*[;=]/ && code !~ /const/)
        report("mutable-static", "state of a file in numeric code")
}

BEGIN {
    n_banned = split("strcpy strcat sprintf vsprintf gets atoi atol atoll atof rand srand strtok alloca", banned, " ")
    n_enders = split("exit _exit quick_exit abort", enders, " ")
    home["grpc/"] = " rpc "; home["protobuf-c"] = " store wire "; home["pb-c.h"] = " store wire "
    home["sndfile.h"] = " audio "; home["samplerate.h"] = " audio "; home["mpg123.h"] = " audio "; home["cblas.h"] = " backend kernels "
    home["openblas"] = " backend kernels "; home["cJSON.h"] = " output model "; home["cmocka.h"] = " "
    home["utf8proc.h"] = " output text "; home["zmq.h"] = " bus "
    prefix_home["grpc_"] = " rpc "; prefix_home["gpr_"] = " rpc "; prefix_home["protobuf_c_"] = " store wire "
    prefix_home["cblas_"] = " backend kernels "; prefix_home["cJSON_"] = " output model "
    prefix_home["zmq_"] = " bus "; prefix_home["sf_open"] = " audio "; prefix_home["src_process"] = " audio "
    for (i = 2; i < ARGC; i++) exists[ARGV[i]] = 1
}

FILENAME == ARGV[1] {
    if ($0 ~ /^[a-z_]+:/) { split($0, half, ":"); allowed[half[1]] = " " half[2] " " }
    next
}

FNR == 1 { begin_file() }

{
    if ($0 ~ /[ \t\r]$/) report("trailing-blank", "blank at the end of the line")
    if (index($0, "\t")) report("tab", "use spaces")
    shown = $0
    if (length(shown) > 100) { gsub(/[\200-\277]/, "", shown) }
    if (length(shown) > 100) report("line-length", length(shown) " columns, at most 100")
    if (FNR == 801) report("file-length", "more than 800 lines")
    if (is_header && FNR == 251) report("header-length", "more than 250 lines")
    was_comment = in_comment
    code = ($0 ~ /["'\/]/ || in_comment) ? code_of($0) : $0
}

!was_comment && /^ *# *include/ { check_include($0) }

is_header && !guarded && code ~ /^#/ {
    if (guard == "" && code ~ /^#ifndef [A-Z0-9_]+_H$/) guard = $2
    else {
        if (guard == "" || code !~ ("^#define " guard "$")) report("guard", "begin with #ifndef X_H, #define X_H")
        else if (guard in guards) report("guard", guard " is also in " guards[guard])
        guards[guard] = FILENAME
        guarded = 1
    }
}

{ check_words(code) }

/^\{/ { body = FNR }
/^\}/ && body {
    if (FNR - body + 1 > limit) report("function-length", (FNR - body + 1) " lines, at most " limit)
    body = 0
}

END {
    for (file in files) {
        name = file; sub(/^lib\//, "", name)
        if (file ~ /^lib\/.*\.h$/ && !(name in included)) printf "%s:1: dead-file: nobody includes it\n", file
    }
}
