/**
 * Makes a guest notice that its connections to the file server are gone: after a resume it would wait for answers that nobody
 * owes it any more, for up to a minute (the NFS client's time-out), where it had a request under way.
 *
 * A bare acknowledgement on the connection's addresses and ports is answered by the guest with one of its own, since its
 * sequence number is none that the guest expects (RFC 9293 section 3.10.7.4). Our kernel has no such connection and answers
 * that with a reset whose number the guest does expect. Two are sent, half of the sequence space apart: one of them is outside
 * the guest's window, whatever that is.
 */
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { systemEnvironment } from "../system-path.ts";
import { fileServerPort, guestLinkAddress, serverAddress } from "./addresses.ts";
import { namespacePath } from "./namespaces.ts";

const program = new URL("send-acknowledgement.pl", import.meta.url).pathname;
const deadlineMs = 10_000;
/** The file server holds no more connections of one guest. */
const maxPorts = 64;

/** `guestPorts`: of the connections that were cut. The guest runs, and who serves it listens. Rejects with `reset-failed`. */
export async function resetConnections(namespace: string, guestPorts: readonly number[]): Promise<void> {
  if (guestPorts.length === 0) return;
  const addresses = [serverAddress, String(fileServerPort), guestLinkAddress];
  const ports = guestPorts.slice(0, maxPorts).map(String);
  const options = [`--net=${namespacePath(namespace)}`, "perl", program, ...addresses, ...ports];
  await execa("nsenter", options, { env: systemEnvironment, stdin: "ignore", timeout: deadlineMs }).catch((cause) => {
    throw new XenoError(
      "reset-failed",
      `cannot tell the guest in ${namespace} that it must connect again: ${cause.stderr}`,
      {
        hint: "it notices by itself within a minute",
        cause,
      },
    );
  });
}
