#!/bin/sh
exec "$(dirname "$0")/one" armhf qemu-arm
