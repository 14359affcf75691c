#!/bin/bash
# test_speech.sh BIN [OPTION...]: exactness, passes and word error rates over the development speech beside the
# repository (../shared/golden and ../shared/data/speech); says so and ends well where that is not there. Options are
# those of check_speech.py: --quick (every fifth file), --only golden|split|passes|wer (may be repeated).
set -u
if [ $# -lt 1 ]; then echo "usage: test_speech.sh BIN [--quick] [--only golden|split|passes|wer]" >&2; exit 2; fi
bin=$1; shift
tools=$(cd "$(dirname "$0")" && pwd)
shared=$tools/../../shared
if [ ! -d "$shared/golden" ] || [ ! -d "$shared/data/speech" ]; then
    echo "test_speech.sh: no development speech here (../shared/golden and ../shared/data/speech): nothing was checked"
    exit 0
fi
python=/usr/bin/python3
[ -x "$python" ] || python=python3
exec "$python" "$tools/check_speech.py" "$bin" --shared "$shared" "$@"
