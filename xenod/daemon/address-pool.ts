/** The routable addresses that a XenoServer gives its guests, as `10.77.1.0/24`. Which are taken, the domain records say. */
import { isIPv4 } from "node:net";
import { XenoError } from "../../cowfs/errors.ts";

export class AddressPool {
  readonly text: string;
  readonly #first: number;
  readonly #last: number;

  constructor(text: string) {
    const [network, bits] = text.split("/");
    const length = Number(bits);
    if (!isIPv4(network) || !/^\d+$/.test(bits ?? "") || length < 8 || length > 30)
      throw new XenoError("pool-invalid", `"${text}" is no pool of IPv4 addresses`, { hint: "as 10.77.1.0/24" });
    this.text = text;
    const size = 2 ** (32 - length);
    const start = Math.floor(toNumber(network) / size) * size;
    // Neither the network's own address nor its broadcast one.
    this.#first = start + 1;
    this.#last = start + size - 2;
  }

  /** `wanted`, where it is of this pool and free; else the lowest free one. Throws `addresses-used-up`. */
  choose(isTaken: (address: string) => boolean, wanted?: string): string {
    if (wanted !== undefined && isIPv4(wanted) && this.#has(toNumber(wanted)) && !isTaken(wanted)) return wanted;
    for (let number = this.#first; number <= this.#last; number++) {
      const address = toText(number);
      if (!isTaken(address)) return address;
    }
    throw new XenoError("addresses-used-up", `every address of ${this.text} belongs to a domain`, {
      hint: "stop a domain, or give this XenoServer a larger pool",
    });
  }

  #has(number: number): boolean {
    return number >= this.#first && number <= this.#last;
  }
}

function toNumber(address: string): number {
  return address.split(".").reduce((number, byte) => number * 256 + Number(byte), 0);
}

function toText(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}
