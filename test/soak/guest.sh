#!/bin/sh -e
# Builds the overlay of `npm run soak -- guest`. Guests have no way out: the compiler's packages are fetched here and left
# in apt's cache, so that the guest's own apt-get installs them from there.
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends git sqlite3
apt-get clean
apt-get install -y --no-install-recommends --download-only gcc libc6-dev make
cat > /usr/local/sbin/soak <<'END'
#!/bin/bash
# Works, resets the guest, and looks whether all of it is there.
exec >/dev/console 2>&1
export HOME=/root DEBIAN_FRONTEND=noninteractive
cd /var/lib/soak
fail() { echo "soak: FAILED at $1"; sync; sleep 2; poweroff -f; exit 1; }
step() { echo "soak: $1 at $(cut -d' ' -f1 /proc/uptime) s"; }
check() {
  for mode in delete truncate persist wal; do
    [ "$(sqlite3 $mode.db 'pragma integrity_check')" = ok ] || fail "the integrity of $mode"
    [ "$(sqlite3 $mode.db 'select count(*) from t')" = 2000 ] || fail "the rows of $mode"
  done
  git -C repo fsck --full --strict || fail "git fsck"
  [ -z "$(git -C repo status --porcelain)" ] || fail "git status"
  [ "$(git -C repo rev-list --count HEAD)" = 20 ] || fail "the commits"
  [ ! -e /usr/share/doc ] || fail "the renamed directory's old name"
  [ "$(find /usr/share/documents | sort | sha256sum)" = "$(cat renamed)" ] || fail "the renamed directory"
  [ "$(build/program)" = 1225 ] || fail "the program that was built"
  dpkg --audit >audit && [ ! -s audit ] || fail "dpkg --audit"
  sha256sum --quiet -c sums || fail "the checksums"
}
if [ -e done ]; then
  step "up again"
  check
  step "FOUND ALL"
  poweroff -f
  exit
fi
step "up"
apt-get install -y --no-download --no-install-recommends gcc libc6-dev make || fail "apt-get"
step "installed"
mkdir -p build
for n in $(seq 0 49); do echo "int f$n(void) { return $n; }" >build/f$n.c; done
{ for n in $(seq 0 49); do echo "int f$n(void);"; done
  echo '#include <stdio.h>'
  echo 'int main(void) { int sum = 0;'
  for n in $(seq 0 49); do echo "sum += f$n();"; done
  echo 'printf("%d\n", sum); return 0; }'; } >build/main.c
printf 'program: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\tgcc -o $@ $^\n' >build/Makefile
make -C build -j2 >/dev/null || fail "make"
step "built"
for mode in delete truncate persist wal; do
  sqlite3 $mode.db "pragma journal_mode=$mode; pragma synchronous=full; create table t(a integer primary key, b text);" || fail "sqlite"
  for round in $(seq 20); do
    sqlite3 $mode.db "pragma synchronous=full; begin; with recursive n(i) as (select 1 union all select i + 1 from n where i < 100)
      insert into t(b) select hex(randomblob(500)) from n; commit; begin; delete from t; rollback;" || fail "sqlite $mode"
  done
done
step "SQLite done"
git init -q repo
git -C repo config core.fsync all
git -C repo config user.name soak
git -C repo config user.email soak@example.org
for round in $(seq 20); do
  for file in $(seq 20); do echo "$round $file" >repo/$file-$round; echo "$round" >>repo/$file; done
  git -C repo add -A && git -C repo commit -q -m "round $round" || fail "git commit"
done
git -C repo gc -q || fail "git gc"
step "git done"
# A new file, and one of the template.
for file in new /usr/share/common-licenses/GPL-3; do
  python3 /usr/local/lib/fsx.py $file 1 1000 && python3 /usr/local/lib/fsx.py $file 2 1000 || fail "fsx of $file"
done
step "mapped files done"
mv /usr/share/doc /usr/share/documents || fail "the rename of a template directory"
echo "made after" >/usr/share/documents/new
find /usr/share/documents | sort | sha256sum >renamed
find build repo new /usr/share/common-licenses -type f -print0 | sort -z | xargs -0 sha256sum >sums
check
touch done
sync
step "resetting"
reboot -f
END
chmod 755 /usr/local/sbin/soak
mkdir -p /var/lib/soak
cat > /etc/systemd/system/soak.service <<'END'
[Unit]
After=local-fs.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/soak
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
END
systemctl enable soak.service
