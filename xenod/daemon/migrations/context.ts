import type { TlsIdentity } from "../../identity/tls-identity.ts";
import type { MigrationEnds } from "../../migration/ends/migration-ends.ts";
import type { Host } from "../host.ts";

/** What both ends of migrations share. */
export interface MigrationContext {
  readonly host: Host;
  readonly ends: MigrationEnds;
  /** What this XenoServer shows others. */
  identity(): Promise<TlsIdentity>;
  /** How long a task waits for a target that does not answer, in ms. */
  readonly patienceMs: number;
}
