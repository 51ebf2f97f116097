/** What runs in the guest that is moved, and how it is asked. */

/**
 * - `clock`: service.sh's answer to a question, its guest's clock in ms.
 * - `getstatus`: what Quake 3 and its kin tell of a game; the challenge comes back.
 */
export type Form = "clock" | "getstatus";

export interface Question {
  readonly port: number;
  readonly form: Form;
  readonly everyMs: number;
}

export interface Service {
  readonly name: string;
  /** Builds its overlay. */
  readonly script: string;
  readonly overlayUrl: string;
  /** The guest's first program. */
  readonly init: string;
  readonly memoryMiB: number;
  /** Answered out of memory: what an outage is measured by. */
  readonly memory: Question;
  /** Answered once the root was written. */
  readonly root: Question;
}

const scriptAt = (name: string) => new URL(name, import.meta.url).pathname;
/** It answers an address ten times at once and then once a second (SVC_RateLimitAddress), so an outage is told to the second. */
const getstatus: Question = { port: 27960, form: "getstatus", everyMs: 1100 };

export const services: Readonly<Record<string, Service>> = {
  clock: {
    name: "clock",
    script: scriptAt("service.sh"),
    overlayUrl: "xenostore://demo/bench-service",
    init: "/usr/local/sbin/bench-service",
    memoryMiB: 256,
    memory: { port: 7001, form: "clock", everyMs: 5 },
    root: { port: 7002, form: "clock", everyMs: 20 },
  },
  openarena: {
    name: "openarena",
    script: scriptAt("openarena.sh"),
    overlayUrl: "xenostore://demo/bench-openarena",
    init: "/usr/local/sbin/bench-openarena",
    memoryMiB: 512,
    memory: getstatus,
    root: getstatus,
  },
};
