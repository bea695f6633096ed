#!/bin/sh
exec "$(dirname "$0")/one" riscv64 qemu-riscv64
