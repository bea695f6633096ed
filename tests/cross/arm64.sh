#!/bin/sh
exec "$(dirname "$0")/one" arm64 qemu-aarch64
