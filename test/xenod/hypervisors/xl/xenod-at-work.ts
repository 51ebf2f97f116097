/**
 * A Xenod that is killed while it moves a guest: the driver alone, in a process. Its arguments are the fields of `Work` as JSON; it says
 * what it has done, and stands still.
 */
import { connect } from "node:net";
import type { DomainSpecification } from "../../../../xenod/hypervisors/hypervisor.ts";
import { createXlHypervisor, type XlOptions } from "../../../../xenod/hypervisors/xl/xl.ts";

export interface Work {
  readonly environment: NodeJS.ProcessEnv;
  readonly recordsDirectory: string;
  readonly specification: DomainSpecification;
  readonly does: "sends" | "receives" | "quiesces";
  /** On 127.0.0.1, where the memory goes or comes from. */
  readonly port: number;
}

const { environment, recordsDirectory, specification, does, port } = JSON.parse(process.argv[2]!) as Work;
const { signal } = new AbortController();
// It lives as long as who started it.
process.on("message", () => {}).on("disconnect", () => process.exit());
const options: XlOptions = { environment, recordsDirectory };
const hypervisor = createXlHypervisor(options);
const link = connect(port, "127.0.0.1");
if (does === "receives") {
  // It is of the same kind.
  const platform = process.argv[3]!;
  await hypervisor.receive(specification, async () => link, platform, signal);
} else {
  const domain = (await hypervisor.find(specification.name, specification.directory))!;
  if (does === "quiesces") await domain.quiesce!(signal);
  else {
    const memory = await domain.migrate(link, signal);
    await memory.stopped();
    await memory.finish();
  }
}
process.send!("done");
