/**
 * An environment manager that is killed again and again: each life ends at its first change that is kept, now before it is kept,
 * now after it. Whatever its client was doing, it does again.
 */
import test, { type ExecutionContext } from "ava";
import { describePublicKey } from "../../../control/credentials/public-key.ts";
import type { EnvironmentManager } from "../../../control/sessions/environment-manager.ts";
import { acceptOffer } from "../../../control/sessions/lease.ts";
import type { Session } from "../../../control/sessions/session.ts";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { programsDirectory } from "../../../xenod/programs/assignment.ts";
import { packTar } from "../../templates/import/pack.ts";
import { poll } from "../../xenod/test-guest.ts";
import { powerOff, shareMachine } from "./machine.ts";
import { hourMs, requirements, type Selling, withSelling } from "./selling.ts";

const machine = shareMachine(test);
const deadlineMs = 120_000;

interface Life {
  readonly manager: EnvironmentManager;
  isDead: boolean;
}

class Lives {
  readonly #selling: Selling;
  #life: Life | undefined;
  deaths = 0;

  constructor(selling: Selling) {
    this.#selling = selling;
  }

  /** Does it in as many lives as it takes, again and again until what is kept says that it is done. */
  async until(
    act: (manager: EnvironmentManager) => Promise<unknown>,
    isDone: (manager: EnvironmentManager) => unknown,
  ) {
    for (const end = Date.now() + deadlineMs; Date.now() < end; ) {
      this.#life ??= await this.#open();
      const life = this.#life;
      await act(life.manager).catch((error) => {
        if (!life.isDead) throw error;
      });
      await life.manager.idle();
      if (life.isDead) {
        this.deaths++;
        this.#life = undefined;
      } else if (await isDone(life.manager)) return;
      else await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`it was not done within ${deadlineMs} ms`);
  }

  async #open(): Promise<Life> {
    const diesAt = this.deaths % 2 === 0 ? "before" : "after";
    const onSave = (_session: Session, moment: "before" | "after") => {
      life.isDead ||= moment === diesAt;
      if (life.isDead) throw new Error("killed");
    };
    const life: Life = { manager: await this.#selling.reopen({ onSave }), isDead: false };
    return life;
  }
}

/** The programs that a domain is told of, a line for each. */
async function readAssignment(t: ExecutionContext, domain: string): Promise<string> {
  const fileServer = new FileServerClient(machine().server.stateDirectory);
  t.teardown(() => fileServer.close());
  const read = [{ path: `${programsDirectory}/next`, maxBytes: 4096 }];
  const [file] = (await fileServer.exchangeFiles(domain, { read })).read;
  return Buffer.from(file!.base64, "base64").toString().trim().split("\n").slice(1, -1).join("\n");
}

test.serial(
  "killed at every change, a session is charged once for its time, suspended, resumed, changed and ended",
  async (t) => {
    await withSelling(machine(), async (selling) => {
      const ada = await selling.addClient();
      const caller = { keyId: ada.key.id, publicKey: describePublicKey(ada.key.publicKey) };
      const lives = new Lives(selling);
      const [first, second] = [await ada.order({ amount: 30 }), await ada.order({ amount: 1000 })];
      const offer = await selling.manager.offer(caller, { requirements, termMs: hourMs });
      const signed = await acceptOffer(offer, ada.key);
      const only = (manager: EnvironmentManager) => manager.sessions.list()[0];
      const tick = (manager: EnvironmentManager) => manager.tick();
      const domain = async () => (await machine().client.domains())[0];

      const asked = { overlay: machine().overlay, programs: true };
      await lives.until(
        (manager) => manager.create(caller, signed, first),
        (manager) => only(manager) !== undefined,
      );
      const { id } = only(await selling.reopen())!;
      await lives.until(
        (manager) => manager.deploy(caller, id, { id: "web", kind: "domain", asked }),
        async (manager) => only(manager)!.tasks[0]?.domain !== undefined && (await domain())?.state === "running",
      );
      t.is((await machine().client.domains()).length, 1);

      selling.pass(31_000);
      await lives.until(tick, async () => (await domain())!.state === "suspended");
      await lives.until(tick, (manager) => only(manager)!.isSettled && only(manager)!.pending.length === 0);
      t.like(only(await selling.reopen()), { state: "suspended", reason: "dry", paid: 30 });

      await lives.until(
        (manager) => manager.topUp(caller, id, second),
        (manager) => only(manager)!.state === "active",
      );
      await lives.until(tick, async () => (await domain())!.state === "running");
      selling.pass(25_000);
      await lives.until(tick, (manager) => only(manager)!.paid > 30);

      // A program is told of to its domain, once, however often its tar was laid.
      const run = { name: "run", mode: 0o755, content: "#!/bin/sh" };
      const program = { inside: "web", tar: (await packTar([run])).toString("base64") };
      await lives.until(
        (manager) => manager.deploy(caller, id, { id: "job", kind: "program", asked: program }),
        (manager) => only(manager)!.programs?.length === 1,
      );
      const { name } = (await domain())!;
      const [{ request }] = only(await selling.reopen())!.programs!;
      await lives.until(tick, async () => (await readAssignment(t, name)) === `${request} 3600 1048576 run`);
      await lives.until(
        (manager) => manager.endTask(caller, id, "job"),
        (manager) => only(manager)!.programs![0]?.isEnding,
      );
      await lives.until(tick, (manager) => only(manager)!.programs!.length === 0);
      t.is(await readAssignment(t, name), "");

      // Its guest ends; what is deployed anew is matched to it, in a lease that is another meanwhile.
      powerOff(machine(), (await domain())!.name);
      await poll("the guest's end", async () => (await domain())!.state === "stopped");
      const QoS = { MemoryMiB: 96 };
      const larger = await (await selling.reopen()).offer(caller, {
        requirements: { ...requirements, QoS },
        termMs: hourMs,
        session: id,
      });
      const accepted = await acceptOffer(larger, ada.key);
      await lives.until(
        (manager) => manager.amend(caller, accepted),
        (manager) => only(manager)!.lease.number === 2,
      );
      await lives.until(
        (manager) => manager.deploy(caller, id, { id: "web2", kind: "domain", asked }),
        (manager) => only(manager)!.tasks[0]!.id === "web2",
      );
      await lives.until(tick, async (manager) => (await domain())!.state === "running" && only(manager)!.isSettled);
      t.like(await machine().client.domains(), { length: 1, 0: { deployment: { memoryMiB: 96 } } });
      await lives.until(
        (manager) => manager.end(caller, id),
        (manager) => only(manager)!.state === "ending",
      );
      await lives.until(tick, (manager) => only(manager)!.state === "ended");
      t.deepEqual(await machine().client.domains(), []);

      const { paid, refused } = only(await selling.reopen())!;
      t.is(refused, 0);
      t.true(paid >= 55, `${paid}`);
      const audits = await Promise.all(
        [first, second].map(async (_, index) => {
          const orders = await ada.client.listOrders();
          return (await ada.client.audit(orders.find(({ amount }) => amount === [30, 1000][index])!.id)).transfers;
        }),
      );
      const posts = audits.flat().filter(({ kind }) => kind === "post");
      t.is(
        posts.reduce((sum, { amount }) => sum + amount, 0),
        paid,
      );
      const spans = posts.map(({ note }) => (note as { used: { from: number; until: number } }).used);
      for (const [index, { from }] of spans.entries()) t.true(index === 0 || from >= spans[index - 1]!.until);
      t.like(await ada.client.account(), { held: 0, posted: 1_000_000_000 - paid });
      t.true(lives.deaths >= 14, `${lives.deaths}`);
    });
  },
);
