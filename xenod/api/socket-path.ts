import { join } from "node:path";

/** Where a XenoServer's API is on this machine. */
export function apiSocket(stateDirectory: string): string {
  return join(stateDirectory, "xenod.sock");
}
