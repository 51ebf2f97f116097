/** Who does with a guest what is measured: the `xl` driver, and xl itself with the same configuration. In dom0. */
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Domain, DomainSpecification } from "../../xenod/hypervisors/hypervisor.ts";
import { composeConfiguration, domainFiles, identify } from "../../xenod/hypervisors/xl/configuration.ts";
import { runXl } from "../../xenod/hypervisors/xl/run-xl.ts";
import { createXlHypervisor } from "../../xenod/hypervisors/xl/xl.ts";

/** Of one guest at a time. Each method settles when it is done, and `create` and `restore` with the guest paused. */
export interface Contender {
  readonly name: "driver" | "xl";
  create(guest: DomainSpecification): Promise<void>;
  unpause(): Promise<void>;
  /** The guest runs; it stays, paused. */
  save(file: string): Promise<void>;
  restore(guest: DomainSpecification, file: string): Promise<void>;
  /** On this host. The guest runs there, and is no more here. */
  migrate(there: DomainSpecification): Promise<void>;
  destroy(): Promise<void>;
  /** Where what the guest prints is recorded, and where once it has moved. */
  consoles(here: DomainSpecification, there: DomainSpecification): [string, string];
}

export function contendWithDriver(signal: AbortSignal): Contender {
  const hypervisor = createXlHypervisor();
  let domain: Domain;
  return {
    name: "driver",
    create: async (guest) => {
      domain = await hypervisor.create(guest, signal);
    },
    unpause: () => domain.unpause(),
    async save(file) {
      await domain.pause();
      await domain.save(createWriteStream(file), signal);
    },
    async restore(guest, file) {
      domain = await hypervisor.restore(guest, createReadStream(file), await domain.platform(), signal);
    },
    async migrate(there) {
      const { from, to } = await connectPair();
      const receiving = hypervisor.receive(there, async () => to, await domain.platform(), signal);
      const moving = await domain.migrate(from, signal);
      await moving.stopped();
      await moving.finish();
      const arrived = await receiving;
      await arrived.unpause();
      await domain.destroy();
      domain = arrived;
    },
    destroy: () => domain.destroy(),
    consoles: (here, there) => [domainFiles(here.directory).consoleLog, domainFiles(there.directory).consoleLog],
  };
}

export function contendWithXl(signal: AbortSignal): Contender {
  let name = "";
  let configuration = "";
  const xl = async (...options: string[]) => void (await runXl(options, { purpose: "bare xl", signal }));
  const record = (guest: string) => join("/var/log/xen/console", `guest-${guest}.log`);
  return {
    name: "xl",
    async create(guest) {
      name = identify(guest.name, guest.directory).name;
      configuration = domainFiles(guest.directory).configuration;
      await writeFile(configuration, composeConfiguration(guest, "pvh"));
      for (const file of [record(name), record(`${name}--incoming`)]) await rm(file, { force: true });
      await xl("create", "-p", "-e", configuration);
    },
    unpause: () => xl("unpause", name),
    save: (file) => xl("save", "-p", name, file),
    restore: (_guest, file) => xl("restore", "-p", "-e", configuration, file),
    migrate: () => xl("migrate", "-s", "", name, "exec xl migrate-receive -e"),
    destroy: () => xl("destroy", name),
    consoles: (here) => {
      const own = identify(here.name, here.directory).name;
      return [record(own), record(`${own}--incoming`)];
    },
  };
}

/** Both ends of a TCP connection, as between hosts. */
async function connectPair(): Promise<{ from: Socket; to: Socket }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const from = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [to] = (await once(server, "connection")) as [Socket];
  server.close();
  return { from, to };
}
