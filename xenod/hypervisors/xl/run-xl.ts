/** Runs xl(1), and says what its complaints mean. */
import { execa } from "execa";
import { XenoError } from "../../../cowfs/errors.ts";
import { systemEnvironment } from "../../system-path.ts";

export interface XlRun {
  /** For messages: what was being done, to which domain. */
  readonly purpose: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** In which xl is found. */
  readonly environment?: NodeJS.ProcessEnv;
}

export type RunXl = (options: readonly string[], run: XlRun) => Promise<string>;

/** xl is quick but for building and ending domains; a busy dom0 is slow at all. */
const deadlineMs = 600_000;
const maxComplaintBytes = 64 * 1024;

/** Returns what it printed. Rejects with one of `complaints`, `xl-missing`, or `xl-failed`. */
export async function runXl(
  options: readonly string[],
  { purpose, signal, timeoutMs = deadlineMs, environment = systemEnvironment }: XlRun,
): Promise<string> {
  const { stdout } = await execa("xl", options, {
    env: environment,
    stdin: "ignore",
    timeout: timeoutMs,
    cancelSignal: signal,
    stripFinalNewline: false,
    maxBuffer: 16 * 1024 * 1024,
  }).catch((cause) => {
    signal?.throwIfAborted();
    if (cause.code === "ENOENT") throw missing(purpose, cause);
    throw explain(purpose, cause.timedOut ? `it was not done after ${timeoutMs} ms` : String(cause.stderr), cause);
  });
  return stdout;
}

const complaints = [
  {
    pattern: /Domain .* already exists|domain with name .* already exists/i,
    code: "domain-exists",
    hint: "stop it first, or find it",
  },
  {
    pattern:
      /not enough free memory|failed to free memory|out of memory|Cannot allocate memory|populate_physmap|xc_dom_boot_mem_init/i,
    code: "memory-short",
    hint: "ask for less memory, or stop a domain: xl info | grep free_memory",
  },
  {
    pattern: /hotplug|failed to attach (nic|network)|unable to add nic devices/i,
    code: "link-missing",
    hint: "the guest's network namespace is gone: make its link anew",
  },
  {
    pattern: /invalid domain identifier|does not exist|Domain .* not found/i,
    code: "domain-gone",
    hint: "it has ended",
  },
  {
    pattern:
      /privcmd|cannot open libxl context|Can't find hypervisor|Hypervisor is not xen|failed to open xenstore|Is xenstore daemon running/i,
    code: "xen-missing",
    hint: "boot the host under Xen, and start xenstored: systemctl status xenstored xen-init-dom0",
  },
  {
    pattern: /Cannot set domain config|PV control interface not available|guest did(n't| not) (acknowledge )?suspend/i,
    code: "guest-silent",
    hint: "the guest does not listen to its hypervisor (yet): try again, or end it hard",
  },
  {
    pattern: /restor|stream|savefile|end of file|Failed to read/i,
    code: "image-damaged",
    hint: "the memory image is damaged, or was made by another machine: resume an older checkpoint",
  },
] as const;

/** What went wrong, from what xl printed on stderr. */
export function explain(purpose: string, said: string, cause?: unknown): XenoError {
  const lines = said.split("\n").filter((line) => line.trim() !== "");
  const known = complaints.find(({ pattern }) => pattern.test(said.slice(-maxComplaintBytes)));
  const errors = lines.filter((line) => /error|failed|invalid/i.test(line));
  const told = (errors[0] ?? lines.at(-1) ?? "it said nothing").slice(0, 500);
  return new XenoError(known?.code ?? "xl-failed", `${purpose}: ${told}`, {
    hint: known?.hint ?? "xl's own words are in xl.log in the domain's directory, and in /var/log/xen",
    cause,
  });
}

export function missing(purpose: string, cause?: unknown): XenoError {
  return new XenoError("xl-missing", `${purpose}: there is no xl here`, {
    hint: "install Debian's xen-utils and boot the host under Xen",
    cause,
  });
}
