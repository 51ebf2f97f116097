/** What people do with a mounted file system: archives, repositories, databases, compilers. */
import test from "ava";
import { createModel } from "../model/model.ts";
import { mountForTest } from "./mounted.ts";

const identity = "-c user.name=test -c user.email=test@example.org -c init.defaultBranch=main";

test("tar unpacks a few thousand files, and they are all the same", async (t) => {
  const { shell } = await mountForTest(t, createModel());
  const output = await shell(`
    modules=${new URL("../../../node_modules/@types/node", import.meta.url).pathname}
    mkdir in; tar -C "$modules" -cf - . | tar -C in -xpf -
    tar -C in --sort=name -cf - . | sha256sum
    tar -C "$modules" --sort=name -cf - . | sha256sum
    rm -rf in; ls`);
  const [ours, theirs] = output.split("\n");
  t.is(ours, theirs);
});

test("git makes, commits, packs and checks a repository", async (t) => {
  const { shell } = await mountForTest(t, createModel());
  const output = await shell(`
    export GIT_CONFIG_NOSYSTEM=1 HOME=/nonexistent
    git ${identity} init -q r; cd r
    for i in $(seq 300); do mkdir -p d$((i % 10)); echo "content $i" > d$((i % 10))/f$i; done
    git add .; git ${identity} commit -qm first
    echo more >> d1/f1; git ${identity} commit -qam second
    git ${identity} gc -q; git fsck --strict; git status --porcelain; git log --oneline | wc -l
    git checkout -q HEAD~1; wc -l < d1/f1; cd ..; rm -rf r; ls`);
  t.is(output, "2\n1");
});

test("sqlite commits, rolls back and checks out, with a journal and with a log", async (t) => {
  const { shell } = await mountForTest(t, createModel());
  const output = await shell(`
    for mode in delete truncate wal; do
      sqlite3 $mode.db "pragma journal_mode=$mode; create table t(a); begin;
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) insert into t select randomblob(100) from n;
        commit; begin; delete from t; rollback; select count(*) from t; pragma integrity_check;"
    done`);
  t.is(output, "delete\n2000\nok\ntruncate\n2000\nok\nwal\n2000\nok");
});

test("several at once do not disturb each other", async (t) => {
  const { shell } = await mountForTest(t, createModel());
  const work = (name: string) =>
    shell(`mkdir ${name}; for i in $(seq 100); do echo ${name} $i > ${name}/$i; mv ${name}/$i ${name}/m$i; done
      cat ${name}/m* | sort -u | wc -l; rm -r ${name}`);
  t.deepEqual(await Promise.all(["a", "b", "c", "d"].map(work)), ["100", "100", "100", "100"]);
  t.is(await shell("ls"), "");
});

test("a mapped file is read and written through its mapping", async (t) => {
  const { shell } = await mountForTest(t, createModel());
  const script = `
import mmap
with open("f", "w+b") as file:
    file.truncate(8192)
    with mmap.mmap(file.fileno(), 8192) as mapping:
        mapping[4094:4098] = b"abcd"
        mapping.flush()
        file.seek(4094); print(file.read(4))
        file.seek(4095); file.write(b"XY"); file.flush()
        print(mapping[4094:4098])
`;
  const output = await shell(`python3 -c '${script}'`);
  t.is(output, "b'abcd'\nb'aXYd'");
});
