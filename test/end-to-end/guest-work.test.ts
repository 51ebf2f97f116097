/**
 * What programs in a guest do with its root: SQLite's and git's own ways of writing, with fsync, a template directory that is
 * renamed, a reset, and all of it there again. The long form, on a whole Debian, is `npm run soak -- guest`.
 */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { publishFiles } from "../xenod/published.ts";
import { publishTestKernel } from "./guest-kernel.ts";
import { collectPrograms } from "./guest-programs.ts";
import { startXenoServer } from "./xeno-server.ts";

const deadlineMs = 900_000;

const init = `#!/bin/busybox sh
for applet in cat find mount mv poweroff reboot sha256sum sort sync touch xargs; do
  eval "$applet() { /bin/busybox $applet \\"\\$@\\"; }"
done
mount -t proc none /proc 2>/dev/null
export HOME=/root PATH=/usr/bin:/bin GIT_CONFIG_NOSYSTEM=1
fail() { echo "guest: FAILED at $1"; poweroff -f; }
check() {
  for mode in delete wal; do
    [ "$(sqlite3 /work/$mode 'pragma integrity_check')" = ok ] || fail "the integrity of $mode"
    [ "$(sqlite3 /work/$mode 'select count(*), sum(length(b)) from t')" = '300|120000' ] || fail "the rows of $mode"
  done
  cd /work/repo
  git fsck --full --strict 2>&1 || fail "git fsck"
  [ -z "$(git status --porcelain)" ] || fail "git status"
  [ "$(git rev-list --count HEAD)" = 4 ] || fail "git rev-list"
  [ ! -e /usr/share/template ] || fail "the renamed directory's old name"
  [ "$(cat /work/moved/deep/er/file)" = "from the template" ] || fail "the renamed directory"
  [ "$(cat /work/moved/deep/new)" = "made after" ] || fail "what was made in the renamed directory"
  (cd /work && sha256sum -c sums >/dev/null) || fail "the checksums"
}
if [ -e /work/done ]; then check; echo "guest: FOUND ALL"; poweroff -f; fi
for mode in delete wal; do
  sqlite3 /work/$mode "pragma journal_mode=$mode; pragma synchronous=full; create table t(a integer primary key, b text);" || fail sqlite
  for round in 1 2 3; do
    sqlite3 /work/$mode "pragma synchronous=full; begin; with recursive n(i) as (select 1 union all select i + 1 from n where i < 100)
      insert into t(b) select hex(randomblob(200)) from n; commit; begin; delete from t; rollback;" || fail "sqlite $mode"
  done
done
echo "guest: SQLite is done"
git init -q /work/repo && cd /work/repo || fail "git init"
git config core.fsync all; git config core.fsyncMethod fsync; git config user.name g; git config user.email g@example.org
git config gc.auto 0; git config maintenance.auto false
for round in 1 2 3 4; do
  for file in a b c d e f g h; do echo "$round $file" >>$file-$round; echo "$round" >>$file; done
  git add -A && git commit -q -m "round $round" || fail "git commit"
done
git repack -a -d -q || fail "git repack"
git mv a moved-a && git reset -q --hard || fail "git reset"
echo "guest: git is done"
mv /usr/share/template /work/moved || fail "the rename of a template directory"
echo "made after" >/work/moved/deep/new
(cd /work && find moved repo -type f | sort | xargs /bin/busybox sha256sum >sums)
check
touch /work/done
sync
reboot -f
`;

test.serial("SQLite, git and a renamed template directory survive a guest's reset", async (t) => {
  t.timeout(1_200_000);
  const server = await startXenoServer(t);
  const kernel = await publishTestKernel(server.published);
  const programs = collectPrograms(["/usr/bin/git", "/usr/bin/sqlite3"]);
  const overlay = await publishFiles(
    server.published,
    "work",
    {
      ...programs,
      "bin/busybox": await readFile("/bin/busybox"),
      "sbin/init": init,
      "usr/share/template/deep/er/file": "from the template\n",
    },
    {
      executables: ["bin/busybox", "sbin/init", ...Object.keys(programs)],
      directories: ["dev", "proc", "sys", "root", "tmp", "work"],
    },
  );
  const wanted = { name: "work", overlay, kernel, memoryMiB: 192, cpus: 1 };
  await server.client.deploy({ ...wanted, id: randomUUID() });
  const console = join(server.stateDirectory, "domains/work/console.log");
  const started = performance.now();
  for (;;) {
    const said = await readFile(console, "latin1").catch(() => "");
    if (said.includes("guest: FOUND ALL")) break;
    if (said.includes("guest: FAILED") || performance.now() - started > deadlineMs) {
      t.log(said.slice(-3000), await server.readLogs());
      t.fail(/guest: FAILED.*/.exec(said)?.[0] ?? "the guest did not find all of it in time");
      return;
    }
    await delay(100);
  }
  t.log(`after ${Math.round((performance.now() - started) / 1000)} s`);
  t.pass();
});
