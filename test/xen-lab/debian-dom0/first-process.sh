#!/bin/sh
# The first process of a dom0 that systemd runs: it leaves all to that, and adds a shell for the lab.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# What a real machine's hardware would have loaded.
printf '%s\n' virtio_net virtio_console 9pnet_virtio 9p squashfs xen-netback xen-gntalloc xen-privcmd >/etc/modules-load.d/lab.conf
cat >/usr/local/sbin/lab-shell <<'END'
#!/bin/sh
# As in bench/xen-lab/dom0-init.sh: one line is one command; its exit status ends what it prints.
until [ -e /sys/class/virtio-ports ] && device=$(grep -lx shell /sys/class/virtio-ports/*/name); do sleep 0.5; done
port=/dev/$(basename "$(dirname "$device")")
until [ -e "$port" ]; do sleep 0.5; done
exec 3<>"$port"
while :; do
  while IFS= read -r line <&3; do
    (eval "$line") </dev/null >&3 2>&1 3>&-
    printf '\000%s\n' $? >&3
  done
  sleep 1
done
END
chmod 755 /usr/local/sbin/lab-shell
cat >/etc/systemd/system/lab-shell.service <<'END'
[Unit]
Description=A shell for the Xen lab
After=systemd-modules-load.service

[Service]
Environment=HOME=/root
ExecStart=/usr/local/sbin/lab-shell
# It outlives what is stopped in it.
KillMode=process

[Install]
WantedBy=multi-user.target
END
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf ../lab-shell.service /etc/systemd/system/multi-user.target.wants/lab-shell.service
exec /lib/systemd/systemd
