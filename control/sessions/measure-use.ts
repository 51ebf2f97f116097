/** What a session's domains have used, for its charges: the audit trail says what it was that was paid for. */
import { isOfSession, type Machine } from "./machines.ts";
import type { Session } from "./session.ts";

export interface DomainUse {
  readonly domain: string;
  readonly overlay: string;
  readonly state: string;
  readonly memoryMiB: number;
  /** Of the guest, since it was last started or resumed. */
  readonly cpuMs?: number;
}

/** A charge's note is bounded; of more domains their number is told. */
const maxTold = 16;
const patienceMs = 3_000;

/** Undefined where the machine does not answer: time is charged all the same. */
export async function measureUse(session: Session, { client }: Machine): Promise<readonly DomainUse[] | undefined> {
  try {
    const signal = AbortSignal.timeout(patienceMs);
    const own = (await client.domains(signal)).filter((domain) => isOfSession(domain, session.id)).slice(0, maxTold);
    const views = await Promise.all(own.map(({ name }) => client.domain(name, signal)));
    return views.map(({ name: domain, deployment: { overlay, memoryMiB }, state, usage }) => ({
      ...{ domain, overlay, state, memoryMiB },
      ...(usage === undefined ? {} : { cpuMs: Math.round(usage.cpuMs) }),
    }));
  } catch {
    return undefined;
  }
}
