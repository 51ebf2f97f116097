/**
 * A table of domains that answers as xl does, so that what the driver makes of Xen's answers can be tested where there is no
 * Xen; the driver's life cycle itself is tested on a real one (xl.xen.ts). The xl that moves memory are processes, which ask it
 * (played-xl.ts).
 */
import { readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../../cowfs/errors.ts";
import { shutdownReasons } from "../../../../xenod/hypervisors/xl/list.ts";
import type { RunXl } from "../../../../xenod/hypervisors/xl/run-xl.ts";
import { systemEnvironment } from "../../../../xenod/system-path.ts";
import type { Answer, Question } from "./played-xl.ts";

export interface PlayedDomain {
  readonly id: number;
  name: string;
  readonly uuid: string;
  isPaused: boolean;
  isDying?: boolean;
  shutdown?: (typeof shutdownReasons)[number];
  memory?: string;
  /** It hears no request. */
  isDeaf?: boolean;
  /** In xenstore: control/shutdown. */
  request?: string;
  isStopping?: boolean;
}

const pollMs = 5;
const head = "Name ID Mem VCPUs\tState\tTime(s) UUID Reason-Code\tSecurity Label";

export class PlayedXen {
  domains: PlayedDomain[] = [];
  /** What guests it can have. */
  virtualization = "pv hvm hap";
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
  /** An xl that moves memory is so far, and goes on once this settles. */
  onPhase: ((phase: string, pid: number) => Promise<void>) | undefined;
  /** Something has happened to a domain. */
  onChange: () => void = () => {};
  #lastId: number;
  readonly #asking = new Set<Socket>();

  /** Its domains have numbers above `lastId`. */
  constructor(lastId = 0) {
    this.#lastId = lastId;
  }

  /** How many xl there are. */
  get busy(): number {
    return this.#asking.size;
  }

  /** In which xl is found. The directory is left to who made it; `stop` ends what listens there. */
  async serve(directory: string): Promise<{ readonly environment: NodeJS.ProcessEnv; stop(): void }> {
    const socket = join(directory, "xen.sock");
    const programs = join(directory, "bin");
    await mkdir(programs);
    const player = new URL("played-xl.ts", import.meta.url).href;
    const script = `#!${process.execPath}\nimport(${JSON.stringify(player)}).then(({ playXl }) => playXl(${JSON.stringify(socket)}, process.argv));\n`;
    for (const name of ["xl", "xenstore-read", "xenstore-write"]) {
      await writeFile(join(programs, name), script);
      await chmod(join(programs, name), 0o755);
    }
    const server = createServer((asking) => {
      this.#asking.add(asking);
      asking.on("error", () => {}).on("close", () => this.#asking.delete(asking));
      const questions = createInterface({ input: asking });
      // It tells the errors of what it reads from once more.
      questions
        .on("error", () => {})
        .on("line", async (line) => {
          const answer = await this.#answer(JSON.parse(line)).catch((error) => ({ failed: String(error.message) }));
          // Who asked may have been killed.
          if (asking.writable) asking.write(`${JSON.stringify(answer)}\n`);
        });
    });
    server.listen(socket);
    const stop = () => {
      server.close();
      for (const asking of this.#asking) asking.destroy();
    };
    return { environment: { ...systemEnvironment, PATH: `${programs}:${systemEnvironment.PATH}` }, stop };
  }

  readonly run: RunXl = async (options) => {
    const [command, ...rest] = options;
    if (command === "list") {
      this.lists++;
      const { nextList } = this;
      this.nextList = undefined;
      if (nextList !== undefined) await nextList;
      return this.#list();
    }
    if (command === "info") return this.#describe();
    this.commands.push(options.filter((option) => !option.startsWith("/")).join(" "));
    const target = rest.at(-1) ?? "";
    if (command === "create") this.#build(readFileSync(target, "utf8"));
    else this.#act(command, target);
    this.onChange();
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

  #build(configuration: string): PlayedDomain {
    const read = (name: string) => new RegExp(`^${name} = "(.*)"$`, "m").exec(configuration)![1]!;
    const built: PlayedDomain = { id: ++this.#lastId, name: read("name"), uuid: read("uuid"), isPaused: true };
    this.domains.push(built);
    return built;
  }

  #act(command: string | undefined, target: string): void {
    const domain = this.#find(target);
    if (command === "destroy") this.domains = this.domains.filter((other) => other !== domain);
    if (command === "pause") domain.isPaused = true;
    if (command === "unpause") domain.isPaused = false;
  }

  #find(target: string): PlayedDomain {
    const domain = this.domains.find(({ id, name }) => String(id) === target || name === target);
    if (domain === undefined) throw new XenoError("domain-gone", `${target} is an invalid domain identifier`);
    return domain;
  }

  async #answer(question: Question): Promise<Answer> {
    if (question.ask === "run") return { printed: await this.#runTool(question.options) };
    if (question.ask === "phase") await this.onPhase?.(question.phase, question.pid);
    if (question.ask === "phase") return {};
    if (question.ask === "build") return { domain: String(this.#build(question.configuration).id) };
    const domain = this.#find(question.domain);
    if (question.ask === "memory") return { memory: domain.memory ?? "" };
    if (question.ask === "fill") domain.memory = question.memory;
    else if (question.ask === "resume") {
      if (question.isPaused) domain.isPaused = true;
      // xl complains, and nothing happens, where it has not stopped.
      if (domain.shutdown === "suspend") domain.shutdown = undefined;
      void this.#react(domain, async () => {});
    } else return { isDone: await this.#stop(domain, question) };
    this.onChange();
    return {};
  }

  async #runTool(options: readonly string[]): Promise<string> {
    const [tool, path = "", value = ""] = options;
    if (tool !== "xenstore-read" && tool !== "xenstore-write") return await this.run(options, { purpose: "played" });
    const domain = this.#find(/^\/local\/domain\/(\d+)\/control\/shutdown$/.exec(path)![1]!);
    if (tool === "xenstore-read") return `${domain.request ?? ""}\n`;
    domain.request = value;
    return "";
  }

  /** As xl does it: false where the guest does not answer. */
  async #stop(domain: PlayedDomain, { verb, pid }: Question & { ask: "stop" }): Promise<boolean> {
    domain.request = "suspend";
    void this.#react(domain, () => this.onPhase?.(`${verb} asked`, pid));
    while (domain.request !== "") await delay(pollMs);
    if (domain.isDeaf) return false;
    while (domain.shutdown !== "suspend") await delay(pollMs);
    return true;
  }

  /**
   * The guest takes the request away, and stops itself, whatever happens to xl meanwhile. One that has stopped, or is about to, hears
   * nothing.
   */
  async #react(domain: PlayedDomain, isAsked: () => Promise<unknown> | undefined): Promise<void> {
    if (domain.shutdown === "suspend" || domain.isStopping) return;
    domain.isStopping = true;
    await isAsked();
    while (domain.isPaused) await delay(pollMs);
    domain.isStopping = false;
    if (domain.request !== "suspend") return;
    domain.request = "";
    if (!domain.isDeaf) domain.shutdown = "suspend";
    this.onChange();
  }

  #describe(): string {
    const lines = [
      "hw_caps                : 178bf3ff",
      `virt_caps              : ${this.virtualization}`,
      "total_memory           : 1407",
      "free_memory            : 517",
      "xen_major              : 4",
      "xen_minor              : 17",
    ];
    return `${lines.join("\n")}\n`;
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
