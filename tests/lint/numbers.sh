#!/usr/bin/env bash
# Numbers in the documents are those of the code: see numbers.py.
cd "${SOURCE:?}" && exec python3 -B tests/lint/numbers.py
