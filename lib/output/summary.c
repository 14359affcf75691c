#include "output/summary.h"

#include <string.h>

void summary_add(struct result_stats *total, const struct result_stats *stats)
{
    total->audio_s += stats->audio_s;
    total->tokens += stats->tokens;
    total->passes += stats->passes;
    total->rounds += stats->rounds;
    total->rows += stats->rows;
    total->draft_steps += stats->draft_steps;
    total->draft_rows += stats->draft_rows;
    total->branch_steps += stats->branch_steps;
    total->recycled += stats->recycled;
    total->target_encode_ms += stats->target_encode_ms;
    total->target_decode_ms += stats->target_decode_ms;
    total->draft_encode_ms += stats->draft_encode_ms;
    total->draft_decode_ms += stats->draft_decode_ms;
    total->total_ms += stats->total_ms;
    total->resumes += stats->resumes;
    total->resumed_differently += stats->resumed_differently;
    for (uint32_t i = 0; i < stats->n_targets; i++)
        result_stats_add_target(total, stats->targets[i]);
}

double summary_two_machines_ms(const struct result_stats *total)
{
    double draft_ms = total->draft_encode_ms + total->draft_decode_ms;
    return MAX(total->target_encode_ms, draft_ms) + total->target_decode_ms;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void count_line(FILE *out, const char *name, uint64_t count, double per, const char *unit)
{
    fprintf(out, "  %-16s %9llu   %.2f %s\n", name, (unsigned long long)count, per, unit);
}

static void time_line(FILE *out, const char *name, double encode_ms, double decode_ms)
{
    fprintf(out, "  %-16s %9.0f %9.0f %9.0f\n", name, encode_ms, decode_ms, encode_ms + decode_ms);
}

static void speed_line(FILE *out, const char *name, double ms, double audio_s)
{
    fprintf(out, "  %-16s %9.2f s  %.1fx real time", name, ms / 1000.0,
            ratio(audio_s * 1000.0, ms));
}

static void write_counts(const struct summary *summary, FILE *out)
{
    const struct result_stats *t = &summary->total;
    fprintf(out, "  %-16s %9.1f s  in %u file%s", "audio", t->audio_s, summary->n_files,
            summary->n_files == 1 ? "" : "s");
    if (summary->n_damaged)
        fprintf(out, ", %u of them damaged", summary->n_damaged);
    if (summary->n_failed)
        fprintf(out, ", %u more failed", summary->n_failed);
    fputc('\n', out);
    fprintf(out, "  %-16s %9llu\n", "tokens", (unsigned long long)t->tokens);
    count_line(out, "target passes", t->passes, ratio((double)t->tokens, (double)t->passes),
               "tokens per pass");
    count_line(out, "rows verified", t->rows, ratio((double)t->rows, (double)t->passes),
               "per pass");
    if (!summary->drafted)
        return;
    count_line(out, "rounds", t->rounds, ratio((double)t->rounds, summary->n_files), "per file");
    count_line(out, "draft steps", t->draft_steps, ratio((double)t->draft_steps, (double)t->tokens),
               "per token");
    if (summary->n_calibrated > 0)
        fprintf(out, "  %-16s %9.0f   tokens: of those with confidence 0.5, %.2f are accepted, "
                "with 0.9, %.2f\n", "calibration", summary->n_calibrated, summary->rate_at_half,
                summary->rate_at_nine);
}

static void write_times(const struct summary *summary, FILE *out)
{
    const struct result_stats *t = &summary->total;
    fprintf(out, "  %-16s %9s %9s %9s\n", "milliseconds", "encoder", "decoder", "sum");
    time_line(out, "target", t->target_encode_ms, t->target_decode_ms);
    if (summary->drafted)
        time_line(out, "draft", t->draft_encode_ms, t->draft_decode_ms);
    speed_line(out, "total", t->total_ms, t->audio_s);
    fputs(summary->one_machine && summary->drafted ? ", both sides on this machine\n" : "\n", out);
    if (summary->n_checked) {
        speed_line(out, "target alone", summary->alone.total_ms, summary->alone.audio_s);
        fprintf(out, ", %llu passes, decoder %.0f ms\n", (unsigned long long)summary->alone.passes,
                summary->alone.target_decode_ms);
    }
    if (!summary->one_machine || !summary->drafted)
        return;
    speed_line(out, "two machines", summary_two_machines_ms(t), t->audio_s);
    fputs(", an estimate: the longer of target encoder and\n"
          "                               whole draft, then the target's passes; each side as fast "
          "as here,\n"
          "                               plus one network round trip per round\n",
          out);
}

void summary_write(const struct summary *summary, FILE *out)
{
    fputs("\nSummary\n", out);
    write_counts(summary, out);
    write_times(summary, out);
    if (summary->total.resumes)
        fprintf(out, "  %-16s %9u\n", "reconnects", summary->total.resumes);
    if (summary->same == SUMMARY_SAME)
        fprintf(out, "  same as target alone: yes (%u of %u files, token for token)\n",
                summary->n_checked, summary->n_checked);
    else if (summary->same == SUMMARY_DIFFERS)
        fprintf(out, "  same as target alone: NO (%u of %u files differ)\n", summary->n_differing,
                summary->n_checked);
}
