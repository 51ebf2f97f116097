/** A host directory that somebody hostile shares: nothing outside it is read or written, whatever lies in it. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import type { FileSystemError } from "../../../cowfs/errors.ts";
import { openHostDirectory } from "../../../cowfs/layers/host/host-directory.ts";
import type { LiveChange, LivePlace } from "../../../cowfs/layers/live/live-files.ts";
import { makeFastDirectory } from "../fast-directory.ts";

const secret = "outside";

const never = AbortSignal.timeout(600_000);

async function share(t: ExecutionContext) {
  const home = fs.realpathSync(makeFastDirectory());
  t.teardown(() => fs.rmSync(home, { recursive: true }));
  const shared = path.join(home, "shared");
  fs.mkdirSync(path.join(shared, "d"), { recursive: true });
  fs.mkdirSync(path.join(home, "outside"));
  fs.writeFileSync(path.join(home, "outside", "f"), secret);
  fs.writeFileSync(path.join(shared, "d", "f"), "inside");
  const files = await openHostDirectory({ path: shared, isWritable: true });
  const place = async (...names: string[]): Promise<LivePlace> => {
    let at: LivePlace = { path: [], identity: (await files.root(never)).identity };
    for (const name of names) {
      const found = await files.find(at, name, never);
      if (found === undefined || found === "whiteout") throw new Error(`no ${name}`);
      at = { path: [...at.path, name], identity: found.identity };
    }
    return at;
  };
  return { home, shared, files, place };
}

const errnoOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "allowed",
    (error: FileSystemError) => error.code,
  );

test("a directory or file that becomes a link is not followed", async (t) => {
  const { home, shared, files, place } = await share(t);
  const [directory, file] = [await place("d"), await place("d", "f")];
  fs.renameSync(path.join(shared, "d"), path.join(home, "d"));
  fs.symlinkSync(path.join(home, "outside"), path.join(shared, "d"));
  t.is(await errnoOf(files.read(file, 0, 10, never)), "ESTALE");
  t.is(await errnoOf(files.list(directory, never)), "ESTALE");
  t.is(await errnoOf(files.find(directory, "f", never)), "ESTALE");
  for (const change of changesOf(directory, file))
    t.is(await errnoOf(files.change(change, never)), "ESTALE", change.kind);
  fs.rmSync(path.join(shared, "d"));
  fs.mkdirSync(path.join(shared, "d"));
  fs.symlinkSync(path.join(home, "outside", "f"), path.join(shared, "d", "f"));
  t.is(await errnoOf(files.read(file, 0, 10, never)), "ESTALE");
  const link = await place("d", "f");
  t.is(await errnoOf(files.read(link, 0, 10, never)), "EINVAL");
  t.is(await errnoOf(files.change({ kind: "write", file: link, offset: 0, data: Buffer.from("x") }, never)), "EINVAL");
  t.is(fs.readFileSync(path.join(home, "outside", "f"), "utf8"), secret);
  t.deepEqual(fs.readdirSync(path.join(home, "outside")), ["f"]);
});

function changesOf(directory: LivePlace, file: LivePlace): LiveChange[] {
  return [
    { kind: "write", file, offset: 0, data: Buffer.from("x") },
    { kind: "set", object: file, change: { mode: 0o777 } },
    { kind: "create", directory, name: "new", mode: 0o100644, uid: 0, gid: 0, target: "" },
    { kind: "remove", directory, name: "f", isDirectory: false },
    { kind: "rename", from: directory, fromName: "f", to: directory, toName: "g" },
    { kind: "link", object: file, directory, name: "g" },
  ];
}

test("names that lead elsewhere are refused in every place", async (t) => {
  const { files, place } = await share(t);
  const [root, file] = [await place(), await place("d", "f")];
  for (const name of ["", ".", "..", "../outside", "a/b", "a\0b", ".wh.x"]) {
    const changes: LiveChange[] = [
      { kind: "create", directory: root, name, mode: 0o100644, uid: 0, gid: 0, target: "" },
      { kind: "create", directory: root, name, mode: 0o040755, uid: 0, gid: 0, target: "" },
      { kind: "remove", directory: root, name, isDirectory: true },
      { kind: "rename", from: root, fromName: name, to: root, toName: "x" },
      { kind: "rename", from: root, fromName: "d", to: root, toName: name },
      { kind: "link", object: file, directory: root, name },
    ];
    for (const change of changes)
      t.is(await errnoOf(files.change(change, never)), "EINVAL", `${change.kind} '${name}'`);
    const through = { path: ["d", name, "f"], identity: file.identity };
    t.not(await errnoOf(files.read(through, 0, 1, never)), "allowed", `through '${name}'`);
  }
});

test("a fifo or a device is shown and never opened", async (t) => {
  const { shared, files, place } = await share(t);
  execFileSync("mkfifo", [path.join(shared, "fifo")]);
  execFileSync("mknod", [path.join(shared, "tty"), "c", "5", "0"]);
  for (const name of ["fifo", "tty"]) {
    const special = await place(name);
    t.is(await errnoOf(files.read(special, 0, 1, never)), "EINVAL");
    t.is(
      await errnoOf(files.change({ kind: "write", file: special, offset: 0, data: Buffer.from("x") }, never)),
      "EINVAL",
    );
  }
});

test("the place itself is not reached through a link", async (t) => {
  const { home, shared } = await share(t);
  fs.symlinkSync(shared, path.join(home, "link"));
  await t.throwsAsync(openHostDirectory({ path: path.join(home, "link"), isWritable: false }));
  await t.throwsAsync(openHostDirectory({ path: path.join(home, "link", "d"), isWritable: false }));
  await t.throwsAsync(openHostDirectory({ path: `${shared}/../outside`, isWritable: false }));
});

test("another object under the same path is not taken for the first", async (t) => {
  const { shared, files, place } = await share(t);
  const file = await place("d", "f");
  fs.rmSync(path.join(shared, "d", "f"));
  for (let tries = 0; tries < 20; tries++) {
    // The file system gives the inode number again.
    fs.writeFileSync(path.join(shared, "d", "f"), "another");
    t.is(await errnoOf(files.read(file, 0, 10, never)), "ESTALE");
    fs.rmSync(path.join(shared, "d", "f"));
  }
});
