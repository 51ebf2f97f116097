/** What of the machines is promised to sessions, and what is left. */
import { XenoError } from "../../cowfs/errors.ts";
import { SerialQueues } from "../../xenod/serial-queues.ts";
import type { Lease, SessionResources } from "./lease.ts";
import { chooseMachine, type Machine, type MachineRoom, measureRooms, type Promised } from "./machines.ts";
import type { Session } from "./session.ts";
import type { SessionFiles } from "./session-files.ts";

const admissionQueue = "/admission";

/** Room that is a lease's until this is disposed of, or the session is kept. */
export interface PromisedPlace extends Disposable {
  readonly machine: string;
}

export class PromisedRoom {
  readonly #machines: readonly Machine[];
  readonly #sessions: SessionFiles;
  /** Given, and not kept as a session yet. */
  readonly #promised = new Map<string, Promised>();
  readonly #queues = new SerialQueues();

  constructor(machines: readonly Machine[], sessions: SessionFiles) {
    this.#machines = machines;
    this.#sessions = sessions;
  }

  /** Of each machine that answers. Throws `machines-unreachable`. */
  measure(): Promise<MachineRoom[]> {
    return measureRooms(this.#machines, this.#list());
  }

  /** Where there is room; a session that there is stays on its machine. Throws `room-short`. */
  async find(resources: SessionResources, known?: Session): Promise<MachineRoom> {
    const machines = known === undefined ? this.#machines : [this.machineOf(known)];
    const rooms = await measureRooms(machines, this.#list());
    return chooseMachine(rooms, known === undefined ? resources : growthTo(resources, known.lease.resources));
  }

  /** What a lease needs is its own from then on; one after the other. Throws `room-short`, `sessions-full`. */
  async promise({ session: id, resources }: Lease, known?: Session): Promise<PromisedPlace> {
    return await this.#queues.run(admissionQueue, async () => {
      if (known === undefined) this.#sessions.requireRoom();
      const { machine } = await this.find(resources, known);
      this.#promised.set(id, { id, machine: machine.name, resources });
      return { machine: machine.name, [Symbol.dispose]: () => void this.#promised.delete(id) };
    });
  }

  machineOf({ id, machine: name }: Session): Machine {
    const machine = this.#machines.find((candidate) => candidate.name === name);
    if (machine !== undefined) return machine;
    throw new XenoError("machine-unknown", `the session ${id} is on ${name}, which is not sold here any more`, {
      hint: "its operator can put it back into the configuration",
    });
  }

  #list(): Promised[] {
    const kept = this.#sessions.list().filter(({ state }) => state !== "ended");
    const promised = new Map(
      kept.map(({ id, machine, lease }): [string, Promised] => [id, { id, machine, resources: lease.resources }]),
    );
    for (const [id, promise] of this.#promised) promised.set(id, promise);
    return [...promised.values()];
  }
}

/** What it needs beside what it has already. */
function growthTo(wanted: SessionResources, has: SessionResources): SessionResources {
  const names = Object.keys(wanted) as (keyof SessionResources)[];
  const growth = names.map((name) => [name, Math.max(0, wanted[name] - has[name])]);
  return Object.fromEntries(growth) as SessionResources;
}
