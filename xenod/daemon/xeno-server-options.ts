/** What a XenoServer is told when it starts. */
import type { Logger } from "pino";
import type { LivePolicy } from "../../templates/layers/live-policy.ts";
import type { PullSettings } from "../file-server/protocol.ts";
import type { Hypervisor } from "../hypervisors/hypervisor.ts";
import type { GuestType } from "../hypervisors/xl/configuration.ts";
import type { PortSettings } from "./admit-ports.ts";

export interface XenoServerOptions {
  /** Of this XenoServer: `[a-z0-9-]{1,40}`. */
  readonly name: string;
  readonly stateDirectory: string;
  /** A directory or a URL: see xenostore/stores/store-url.ts. */
  readonly store: string;
  /** Whose signatures count here: see xenostore/keys. */
  readonly trustDirectory: string;
  /** Begins the names of network namespaces; one per installation. */
  readonly linkPrefix: string;
  /**
   * This XenoServer's network namespace, made by `joinSwitch(linkPrefix, name)`. Without one, guests have their file server
   * and no other network: the host's own namespace gets no device, address or rule.
   */
  readonly namespace?: string;
  readonly pull?: PullSettings;
  /** As in FileServerConfiguration. */
  readonly workers?: number;
  /** What of this host and its network the guests' `.mount` files may reach. Default: nothing. */
  readonly live?: LivePolicy;
  /** Of routable addresses for guests, where there is a namespace. */
  readonly addressPool: string;
  /** Default: any port of the namespace's own addresses, where there is a namespace. */
  readonly ports?: PortSettings;
  /** Told to new guests. */
  readonly nameServers?: readonly string[];
  /** Default: Xen where this is its dom0, else QEMU, with KVM where that really works. */
  readonly hypervisor?: Hypervisor;
  /** On a Xen host. Default: `pvh`. */
  readonly xenGuests?: GuestType;
  /** How long a migration's task waits for a XenoServer that does not answer. Default 30,000. */
  readonly migrationPatienceMs?: number;
  readonly log: Logger;
  /** See Host. */
  onStep?(domain: string, step: string): void | Promise<void>;
}
