/** What every driver of a hypervisor must do. Each test is the guest itself, on the guest's console. */

import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { appendFile, copyFile, mkdtemp, readFile, rm, stat, truncate } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import test, { type ExecutionContext } from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Domain, DomainSpecification, Hypervisor } from "../../../xenod/hypervisors/hypervisor.ts";
import { GuestShell, poll, waitForConsole } from "../test-guest.ts";

export interface Subject {
  /** As another Xenod has it; what it made, the one before finds. */
  open(): Hypervisor;
  /** A domain that can be created; nothing of it is left after the test. `test.deaf` ignores the power button. */
  prepare(t: ExecutionContext, name: string, options?: string): Promise<DomainSpecification>;
  /** Kills what runs the guest. */
  kill(directory: string): Promise<void>;
  /** What a domain leaves in its directory. */
  readonly remains: readonly string[];
  /** Lists the directory of a domain that has ended, without what `prepare` put there. */
  list(directory: string): Promise<string[]>;
  /** Of one test. Default: 480,000: a guest under TCG on a busy host takes minutes to boot. */
  readonly deadlineMs?: number;
}

export function testHypervisor(name: string, subject: Subject): void {
  const hypervisor = subject.open();
  const { deadlineMs = 480_000 } = subject;
  const define = (title: string, run: (t: ExecutionContext, signal: AbortSignal) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => {
      t.timeout(deadlineMs);
      await run(t, AbortSignal.timeout(deadlineMs));
    });

  const patienceMs = deadlineMs / 2;
  const waitUntilUp = (directory: string, times = 1) => waitForConsole(directory, "guest is up", times, patienceMs);
  const waitFor = (what: string, isSo: () => Promise<boolean>) => poll(what, isSo, patienceMs);
  const openShell = (t: ExecutionContext, directory: string, domain: Domain) =>
    new GuestShell(t, directory, domain.openConsole(), patienceMs);

  async function runs(t: ExecutionContext, domain: Domain, shell: GuestShell): Promise<void> {
    await waitFor("the guest to run again", async () => (await domain.state()) === "running");
    t.deepEqual(await shell.run("echo $word"), { status: 0, output: "kept\n" });
  }

  async function boot(t: ExecutionContext, specification: DomainSpecification, signal: AbortSignal) {
    const domain = await hypervisor.create(specification, signal);
    await domain.unpause();
    await waitUntilUp(specification.directory);
    return { domain, shell: openShell(t, specification.directory, domain) };
  }

  define("a domain is created paused, runs, pauses, reboots, is found again and powers off", async (t, signal) => {
    const specification = await subject.prepare(t, "web");
    const { directory } = specification;
    const created = await hypervisor.create(specification, signal);
    t.is(await created.state(), "paused");
    t.is(await readFile(join(directory, "console.log"), "utf8"), "");
    await t.throwsAsync(hypervisor.create(specification, signal), { code: "domain-exists" });
    await created.unpause();
    await waitUntilUp(directory);
    t.is(await created.state(), "running");

    created.detach();
    t.is(await subject.open().find("db", `${directory}-other`), undefined);
    const found = (await subject.open().find("web", directory))!;
    t.is(await found.state(), "running");
    await found.pause();
    t.is(await found.state(), "paused");
    const shell = openShell(t, directory, found);
    const answer = shell.run("echo 42");
    await found.unpause();
    t.deepEqual(await answer, { status: 0, output: "42\n" });

    let reboots = 0;
    found.onReboot(() => reboots++);
    shell.type("reboot -f");
    await waitUntilUp(directory, 2);
    await waitFor("the reboot's event", async () => reboots === 1);
    await found.pause();
    await found.reboot();
    t.is(await found.state(), "paused", "a paused one is reset and stays paused");
    await found.unpause();
    await waitUntilUp(directory, 3);
    await waitFor("the second reboot's event", async () => reboots === 2);

    const { cpuMs, memoryBytes } = await found.usage();
    t.true(cpuMs > 0 && memoryBytes > 0, `${cpuMs} ms, ${memoryBytes} bytes`);
    // Were it not heard, the row would end before its grace does.
    await found.shutdown(2 * deadlineMs, signal);
    t.is(await found.ended(), "stopped");
    t.is(await found.state(), "stopped");
    t.is(await hypervisor.find("web", directory), undefined);
    t.deepEqual(await subject.list(directory), subject.remains);
  });

  define("a domain that runs is resized, and goes on", async (t, signal) => {
    const specification = await subject.prepare(t, "resized");
    const { domain, shell } = await boot(t, specification, signal);
    const memoryMiB = specification.memoryMiB - 16;
    for (const meanMsPerSecond of [500, 700])
      await domain.resize({ memoryMiB, cpu: { meanMsPerSecond, peakMsPerSecond: 900 } });
    await domain.resize({ memoryMiB: specification.memoryMiB });
    t.deepEqual(await shell.run("echo 42"), { status: 0, output: "42\n" });
    await domain.destroy();
    t.deepEqual(await subject.list(specification.directory), subject.remains);
  });

  define("how a guest ended while no Xenod ran is known to the next one", async (t, signal) => {
    for (const [command, reason] of [
      ["poweroff -f", "stopped"],
      ["echo c >/proc/sysrq-trigger", "crashed"],
    ] as const) {
      const specification = await subject.prepare(t, "alone");
      const { directory } = specification;
      const { domain, shell } = await boot(t, specification, signal);
      await shell.run("true");
      domain.detach();
      shell.type(command);
      // (H2) Some Xenod comes, once it has happened.
      await waitFor("the guest's end", async () => {
        // The Xenod before may not have let go yet: the daemon asks again as well.
        const found = await hypervisor.find("alone", directory).catch((error) => {
          t.is(error.code, "domain-busy");
        });
        if (!found) return false;
        // Whoever asks is answered, also while what has ended is taken down.
        const states = await Promise.all(Array.from({ length: 20 }, () => found.state()));
        const hasEnded = states.includes(reason);
        if (hasEnded) t.is(await found.ended(), reason);
        else found.detach();
        return hasEnded;
      });
      t.is(await hypervisor.find("alone", directory), undefined);
    }
  });

  define("a guest that does not react is ended when its time is over", async (t, signal) => {
    const specification = await subject.prepare(t, "deaf", "test.deaf");
    const { domain } = await boot(t, specification, signal);
    await t.throwsAsync(domain.shutdown(30_000, AbortSignal.timeout(100)), { name: "TimeoutError" });
    t.is(await domain.state(), "running");
    const started = performance.now();
    await domain.shutdown(500, signal);
    t.true(performance.now() - started >= 450);
    t.is(await domain.ended(), "stopped");
  });

  define("a domain whose process is killed has crashed", async (t, signal) => {
    const specification = await subject.prepare(t, "killed");
    const domain = await hypervisor.create(specification, signal);
    await subject.kill(specification.directory);
    t.is(await domain.ended(), "crashed");
    t.is(await hypervisor.find("killed", specification.directory), undefined);
  });

  define("a saved domain goes on, or is restored elsewhere, twice, and remembers", async (t, signal) => {
    const first = await subject.prepare(t, "first");
    const { domain, shell } = await boot(t, first, signal);
    const image = join(await scratch(t), "image");
    await shell.run("word=kept");
    await t.throwsAsync(domain.save(createWriteStream(image), signal), { code: "domain-not-paused" });
    await domain.pause();
    const platform = await domain.platform();
    await domain.save(createWriteStream(image), signal);
    t.is(await domain.state(), "paused");
    await domain.unpause();
    t.deepEqual(await shell.run("echo $word"), { status: 0, output: "kept\n" });
    await shell.run("word=changed");
    shell.close();

    for (const name of ["second", "third"]) {
      const specification = await subject.prepare(t, name);
      const restored = await hypervisor.restore(specification, createReadStream(image), platform, signal);
      t.is(await restored.state(), "paused");
      await restored.unpause();
      const there = openShell(t, specification.directory, restored);
      t.deepEqual(await there.run("echo $word"), { status: 0, output: "kept\n" });
      await restored.destroy();
    }
    t.is(await domain.state(), "running");
    await domain.destroy();
  });

  define(
    "an image that is damaged, cut short or of another machine is refused, and nothing is left",
    async (t, signal) => {
      const first = await subject.prepare(t, "source");
      const { domain } = await boot(t, first, signal);
      const directory = await scratch(t);
      const image = join(directory, "image");
      await domain.pause();
      const platform = await domain.platform();
      await domain.save(createWriteStream(image), signal);
      await domain.destroy();

      const target = await subject.prepare(t, "target");
      const short = join(directory, "short");
      await copyFile(image, short);
      await truncate(short, Math.floor((await stat(image)).size / 2));
      const garbage = join(directory, "garbage");
      await appendFile(garbage, Buffer.alloc(100_000, "no image"));
      const cases = [
        ["image-damaged", short, target, platform],
        ["image-damaged", garbage, target, platform],
        ["image-damaged", image, { ...target, memoryMiB: target.memoryMiB * 2 }, platform],
        ["platform-unsuited", image, target, `${platform} of another kind`],
      ] as const;
      for (const [code, file, specification, on] of cases) {
        await t.throwsAsync(hypervisor.restore(specification, createReadStream(file), on, signal), { code }, file);
        t.is(await hypervisor.find("target", target.directory), undefined);
      }
      const missing = createReadStream(join(directory, "none"));
      await t.throwsAsync(hypervisor.restore(target, missing, platform, signal), { code: "ENOENT" });
      const lost = Readable.from(loseTheRest(createReadStream(image, { end: 99_999 })));
      await t.throwsAsync(hypervisor.restore(target, lost, platform, signal), { code: "object-missing" });
      t.is(await hypervisor.find("target", target.directory), undefined);
      const restored = await hypervisor.restore(target, createReadStream(image), platform, signal);
      await restored.destroy();
    },
  );

  define("saving that is called off or finds no room leaves the domain as it was", async (t, signal) => {
    const specification = await subject.prepare(t, "source");
    const { domain, shell } = await boot(t, specification, signal);
    await shell.run("word=kept");
    await domain.pause();
    const calledOff = new AbortController();
    const stuck = new Writable({ write: () => setTimeout(() => calledOff.abort(), 50) });
    await t.throwsAsync(domain.save(stuck, calledOff.signal), { name: "AbortError" });
    t.is(await domain.state(), "paused");
    const full = new Writable({ write: (_bytes, _encoding, done) => done(new Error("no room")) });
    await t.throwsAsync(domain.save(full, signal), { message: /no room/ });
    t.is(await domain.state(), "paused");
    await domain.unpause();
    t.deepEqual(await shell.run("echo $word"), { status: 0, output: "kept\n" });
    await domain.destroy();
  });

  define("a running guest moves: it runs here until it is stopped, and there from then on", async (t, signal) => {
    const here = await subject.prepare(t, "here");
    const there = await subject.prepare(t, "there");
    const { domain, shell } = await boot(t, here, signal);
    await shell.run("word=kept");
    const platform = await domain.platform();
    if (!hypervisor.features.liveMigration) {
      await t.throwsAsync(domain.migrate((await connectPair(t)).from, signal), { code: "migration-unsupported" });
      await runs(t, domain, shell);
      return await domain.destroy();
    }

    const broken = await connectPair(t);
    const failing = await domain.migrate(broken.from, signal);
    broken.to.destroy();
    await t.throwsAsync(failing.finish());
    await runs(t, domain, shell);

    const unwanted = await connectPair(t);
    unwanted.to.resume();
    const cancelled = await domain.migrate(unwanted.from, signal);
    await cancelled.stopped();
    t.is(await domain.state(), "paused");
    await cancelled.cancel();
    await runs(t, domain, shell);

    // The Xenod that began it dies while the guest is stopped: the next one has it run on.
    const orphaned = await connectPair(t);
    orphaned.to.resume();
    await (await domain.migrate(orphaned.from, signal)).stopped();
    domain.detach();
    const found = (await subject.open().find("here", here.directory))!;
    if ((await found.state()) === "paused") await found.unpause();
    await runs(t, found, shell);

    // Who waits for its memory is called off before any comes: nothing of it is left.
    const calledOff = new AbortController();
    const asked = Promise.withResolvers<void>();
    const never = () => {
      asked.resolve();
      return once(calledOff.signal, "abort").then(() => Promise.reject(calledOff.signal.reason));
    };
    const waiting = hypervisor.receive(there, never, platform, calledOff.signal);
    await Promise.race([asked.promise, waiting]);
    calledOff.abort(new Error("called off"));
    await t.throwsAsync(waiting, { message: "called off" });
    t.is(await subject.open().find("there", there.directory), undefined);

    const { from, to } = await connectPair(t);
    const receiving = hypervisor.receive(there, async () => to, platform, signal);
    const moving = await found.migrate(from, signal);
    await moving.stopped();
    await moving.finish();
    const arrived = await receiving;
    t.deepEqual([await found.state(), await arrived.state()], ["paused", "paused"]);
    await found.destroy();
    await arrived.unpause();
    const moved = openShell(t, there.directory, arrived);
    t.deepEqual(await moved.run("echo $word"), { status: 0, output: "kept\n" });
    await arrived.destroy();
  });
}

async function scratch(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "xeno-image-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function* loseTheRest(part: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* part;
  throw new XenoError("object-missing", "the rest of the image is gone from its store");
}

/** Both ends of a TCP connection. */
export async function connectPair(t: ExecutionContext): Promise<{ from: Socket; to: Socket }> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const from = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [to] = (await once(server, "connection")) as [Socket];
  server.close();
  for (const socket of [from, to]) socket.on("error", () => {});
  t.teardown(() => {
    from.destroy();
    to.destroy();
  });
  return { from, to };
}
