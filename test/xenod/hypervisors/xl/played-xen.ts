/**
 * A table of domains that answers as xl does, so that what the driver makes of Xen's answers can be tested where there is no
 * Xen; the driver's life cycle itself is tested on a real one (xl.xen.ts).
 */
import { readFileSync } from "node:fs";
import { XenoError } from "../../../../cowfs/errors.ts";
import { shutdownReasons } from "../../../../xenod/hypervisors/xl/list.ts";
import type { RunXl } from "../../../../xenod/hypervisors/xl/run-xl.ts";

export interface PlayedDomain {
  readonly id: number;
  readonly name: string;
  readonly uuid: string;
  isPaused: boolean;
  isDying?: boolean;
  shutdown?: (typeof shutdownReasons)[number];
}

const head = "Name ID Mem VCPUs\tState\tTime(s) UUID Reason-Code\tSecurity Label";

export class PlayedXen {
  domains: PlayedDomain[] = [];
  /** How often it was asked for its domains. */
  lists = 0;
  /** What was run, without questions. */
  readonly commands: string[] = [];
  /** Fails the next command of this name, after what it did. */
  failing: string | undefined;
  /** Does the next command of this name, and never answers: who asked was killed. */
  unanswered: string | undefined;
  /** The next list is told as it is once this settles. */
  nextList: Promise<void> | undefined;
  #lastId = 0;

  readonly run: RunXl = async (options) => {
    const [command, ...rest] = options;
    if (command === "list") {
      this.lists++;
      const { nextList } = this;
      this.nextList = undefined;
      if (nextList !== undefined) await nextList;
      return this.#list();
    }
    this.commands.push(options.filter((option) => !option.startsWith("/")).join(" "));
    const target = rest.at(-1) ?? "";
    if (command === "create") this.#create(target);
    else this.#act(command, target);
    if (this.unanswered === command) {
      this.unanswered = undefined;
      return await new Promise(() => {});
    }
    if (this.failing === command) {
      this.failing = undefined;
      throw new XenoError("xl-failed", `${command} failed`);
    }
    return "";
  };

  #create(file: string): void {
    const text = readFileSync(file, "utf8");
    const read = (name: string) => new RegExp(`^${name} = "(.*)"$`, "m").exec(text)![1];
    this.domains.push({ id: ++this.#lastId, name: read("name"), uuid: read("uuid"), isPaused: true });
  }

  #act(command: string, target: string): void {
    const domain = this.domains.find(({ id, name }) => String(id) === target || name === target);
    if (domain === undefined) throw new XenoError("domain-gone", `${target} is an invalid domain identifier`);
    if (command === "destroy") this.domains = this.domains.filter((other) => other !== domain);
    if (command === "pause") domain.isPaused = true;
    if (command === "unpause") domain.isPaused = false;
  }

  #list(): string {
    const rows = this.domains.map(({ id, name, uuid, isPaused, isDying, shutdown }) => {
      const flags = `--${isPaused ? "p" : "-"}${shutdown ? "s" : "-"}-${isDying ? "d" : "-"}`;
      const reason = shutdown === undefined ? "-" : shutdownReasons.indexOf(shutdown);
      return `${name} ${id} 128 1     ${flags}  1.5 ${uuid}        ${reason}                -`;
    });
    return `${[head, ...rows].join("\n")}\n`;
  }
}
