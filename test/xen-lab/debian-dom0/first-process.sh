#!/bin/sh
# The first process of a dom0 that systemd runs: it leaves all to that, and adds a shell for the lab.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# What a real machine's hardware would have loaded.
printf '%s\n' virtio_net virtio_console 9pnet_virtio 9p squashfs xen-netback xen-gntalloc xen-privcmd >/etc/modules-load.d/lab.conf
cat >/etc/systemd/system/lab-shell.service <<'END'
[Unit]
Description=A shell for the Xen lab
After=systemd-modules-load.service

[Service]
Environment=HOME=/root
ExecStart=/sbin/serve-shell
# It outlives what is stopped in it.
KillMode=process

[Install]
WantedBy=multi-user.target
END
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf ../lab-shell.service /etc/systemd/system/multi-user.target.wants/lab-shell.service
exec /lib/systemd/systemd
