import { spawn } from "node:child_process";
import { once } from "node:events";
import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Need } from "../../../cowfs/fault.ts";
import { createModel } from "../model/model.ts";
import { root, World } from "../posix-rules/world.ts";
import { eventually, mountForTest } from "./mounted.ts";

/** Something missing that comes when the test says so. */
class Missing implements Need {
  readonly key = "missing";
  asked = 0;
  aborted = 0;
  isHere = false;
  #arrival = Promise.withResolvers<void>();

  async bring(signal: AbortSignal): Promise<void> {
    this.asked++;
    signal.addEventListener("abort", () => this.aborted++);
    await this.#arrival.promise;
  }

  arrive(): void {
    this.isHere = true;
    this.#arrival.resolve();
  }

  fail(error: Error): void {
    this.#arrival.reject(error);
  }
}

test("a read waits for its bytes while others are served", async (t) => {
  const missing = new Missing();
  const model = createModel({ faultOnRead: () => (missing.isHere ? [] : [missing]) });
  new World(model).file({ name: "f", content: "abc" });
  const { shell } = await mountForTest(t, model);
  const reading = shell("cat f");
  await eventually("asked for", () => missing.asked > 0);
  t.is(await shell("mkdir d; ls"), "d\nf");
  missing.arrive();
  t.is(await reading, "abc");
});

test("a write waits too, and is done once", async (t) => {
  const missing = new Missing();
  const model = createModel({ faultOnWrite: () => (missing.isHere ? [] : [missing]) });
  const { shell } = await mountForTest(t, model);
  const writing = shell("echo line >> f; cat f");
  await eventually("asked for", () => missing.asked > 0);
  t.is(await shell("stat -c %s f"), "0");
  missing.arrive();
  t.is(await writing, "line");
});

test("bytes that cannot be had are EIO for the caller and reported to the server", async (t) => {
  const missing = new Missing();
  const model = createModel({ faultOnLookup: (_, name) => (name === "slow" ? [missing] : []) });
  const errors: unknown[] = [];
  const { shell } = await mountForTest(t, model, { onError: (error) => errors.push(error) });
  const looking = shell("stat slow");
  await eventually("asked for", () => missing.asked > 0);
  const damage = new XenoError("object-damaged", "chunk 7 is damaged");
  missing.fail(damage);
  await t.throwsAsync(looking, { message: /Input\/output error/ });
  t.deepEqual(errors, [damage]);
});

test("an interrupted caller is let go at once, and what it asked for never happens", async (t) => {
  const missing = new Missing();
  const model = createModel({ faultOnWrite: () => (missing.isHere ? [] : [missing]) });
  const { directory } = await mountForTest(t, model);
  const writer = spawn("sh", ["-c", `exec 3> ${directory}/f; echo line >&3`], { stdio: "ignore" });
  t.teardown(() => writer.kill("SIGKILL"));
  await eventually("asked for", () => missing.asked > 0);
  writer.kill("SIGTERM");
  const [, signal] = await once(writer, "exit");
  t.is(signal, "SIGTERM");
  t.is(missing.aborted, 1);
  missing.arrive();
  await new Promise((resolve) => setImmediate(resolve));
  t.is(model.getAttributes(model.lookup(root, model.rootId, "f")).size, 0);
});

test("unmounting does not wait for bytes that never come", async (t) => {
  const missing = new Missing();
  const model = createModel({ faultOnLookup: (_, name) => (name === "slow" ? [missing] : []) });
  const { mount, shell } = await mountForTest(t, model);
  const looking = shell("stat slow");
  await eventually("asked for", () => missing.asked > 0);
  await mount.unmount();
  await t.throwsAsync(looking);
  t.is(missing.aborted, 1);
});

test("more callers than can be parked wait in line, and all are served", async (t) => {
  const missing = new Missing();
  const model = createModel({
    faultOnLookup: (_, name) => (name.startsWith("slow") && !missing.isHere ? [missing] : []),
  });
  const { shell } = await mountForTest(t, model);
  const looking = shell("for i in $(seq 200); do (test -e slow-$i || echo absent) & done; wait");
  await eventually("as many as fit are parked", () => missing.asked >= 128);
  missing.arrive();
  t.is((await looking).split("\n").length, 200);
});

test("fsync answers when the bytes are safe, and EIO when they are not", async (t) => {
  let answer = Promise.withResolvers<void>();
  let asked = 0;
  const onSync = () => {
    asked++;
    return answer.promise;
  };
  const { shell } = await mountForTest(t, createModel({ onSync }), { onError: () => {} });
  await shell("echo x > f");
  let done = false;
  const syncing = shell("sync f").then(() => {
    done = true;
  });
  await eventually("asked to sync", () => asked === 1);
  t.false(done);
  answer.resolve();
  await syncing;
  answer = Promise.withResolvers<void>();
  answer.reject(new Error("the disk refuses"));
  await t.throwsAsync(shell("sync f"), { message: /Input\/output error/ });
});

test("inodes are kept while the kernel knows them, and let go when it forgets", async (t) => {
  const model = createModel();
  const retained = new Map<number, number>();
  const { retain, release } = model;
  model.retain = (id) => {
    retained.set(id, (retained.get(id) ?? 0) + 1);
    retain.call(model, id);
  };
  model.release = (id) => {
    retained.set(id, retained.get(id)! - 1);
    release.call(model, id);
  };
  const { mount, shell } = await mountForTest(t, model);
  await shell(
    "mkdir d; for i in $(seq 100); do echo $i > d/$i; ln d/$i d/l$i; done; ls -l d > /dev/null; find . > /dev/null",
  );
  await shell("exec 3<d/7; rm -r d; cat <&3");
  // Files that were unlinked are forgotten when their last user leaves; nothing else is asked for.
  await eventually("forgotten", () => [...retained.values()].every((count) => count === 0));
  t.is(retained.size, 101);
  await shell("touch a b c");
  await mount.unmount();
  t.deepEqual([...new Set(retained.values())], [0]);
});
