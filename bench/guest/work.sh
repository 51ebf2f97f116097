#!/bin/sh -e
# The guest of `bench -- guest`: what people do with a Debian, once it is up, timed by its own clock. Guests have no way out, so
# what apt-get installs there is left in its cache here.
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends gcc libc6-dev make
apt-get clean
apt-get install -y --no-install-recommends --download-only git
cat > /usr/local/sbin/bench-work <<'PROGRAM'
#!/bin/bash
exec >/dev/console 2>&1
export HOME=/root DEBIAN_FRONTEND=noninteractive
mkdir -p /var/bench && cd /var/bench

# Each with its way to stable storage.
work() { # name, function
  local from=$(date +%s%3N)
  "$2" >log 2>&1 && sync || { tail -n 5 log; echo "bench: FAILED $1"; sleep infinity; }
  echo "bench: $1 $(($(date +%s%3N) - from))"
}

# Of each NFS procedure, since the root was mounted: how many requests, and ms until their answers. Nothing where it is a disk.
count_requests() {
  awk '$1 == "device" { is_root = $5 == "/" }
    is_root && NF >= 9 && $1 ~ /^[A-Z]+:$/ && $2 > 0 { printf " %s%d/%d", $1, $2, $8 }' /proc/self/mountstats
}

install_packages() { apt-get install -y --no-download --no-install-recommends git; }
# 1: a directory changed meanwhile, as one does on overlayfs behind nfs-ganesha when what is in it was copied up.
pack() { tar -cf share.tar -C /usr share || [ $? = 1 ]; }
unpack() { mkdir unpacked && tar -xf share.tar -C unpacked; }
walk() { [ "$(find / -xdev -type f -size +0 | wc -l)" -gt 5000 ]; }
remove() { rm -r unpacked; }
compile() { make -C build; }

mkdir build
for n in $(seq 0 29); do printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint f%d(void) { return %d; }\n' $n $n >build/f$n.c; done
{ for n in $(seq 0 29); do echo "int f$n(void);"; done
  echo 'int main(void) { int sum = 0;'
  for n in $(seq 0 29); do echo "sum += f$n();"; done
  echo 'return sum != 435; }'; } >build/main.c
printf 'all: program\n\t./program\nprogram: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\tgcc -o $@ $^\n' >build/Makefile

echo "bench: up"
echo "bench: before$(count_requests)."
work "apt-get install" install_packages
work "tar to a file" pack
work "tar from a file" unpack
work "find" walk
work "rm -r" remove
work "make" compile
echo "bench: after$(count_requests)."
echo "bench: done"
sleep infinity
PROGRAM
chmod 755 /usr/local/sbin/bench-work
cat > /etc/systemd/system/bench.service <<'UNIT'
[Unit]
After=local-fs.target
[Service]
Type=simple
ExecStart=/usr/local/sbin/bench-work
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable bench.service
