#!/bin/sh
# The lab's shell in a dom0 (dom0-shell.ts): one line is one command; its exit status ends what it prints.
until [ -e /sys/class/virtio-ports ] && device=$(grep -lx shell /sys/class/virtio-ports/*/name); do sleep 0.1; done
port=/dev/$(basename "$(dirname "$device")")
until [ -e "$port" ]; do sleep 0.1; done
# It can be opened once.
exec 3<>"$port"
while :; do
  while IFS= read -r line <&3; do
    (eval "$line") </dev/null >&3 2>&1 3>&-
    printf '\000%s\n' $? >&3
  done
  # Nobody is at the other end. A tenth of this took 0.4 of a processor: here, to start a program is dear.
  sleep 1
done
