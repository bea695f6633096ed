#!/bin/sh
exec "$(dirname "$0")/one" armel qemu-arm
