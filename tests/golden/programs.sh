#!/bin/bash
# programs.sh BIN: golden tokens of real speech through target_node and draft_node themselves, over gRPC, alone and with
# drafts (test_golden.c does more of it in one process).
set -u
cd "$(dirname "$0")/../.." || exit 2
exec /usr/bin/python3 tools/check_speech.py "${1:?usage: programs.sh BIN}" --package
