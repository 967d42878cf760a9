import { type LookupAddress, lookup as resolve } from "node:dns"
import { BlockList, isIP, type LookupFunction } from "node:net"

/** Networks that are nobody's on the internet, or are everybody's at once (IANA's registries). */
const closed = new BlockList()
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const) {
  closed.addSubnet(network, prefix, "ipv4")
}
for (const [network, prefix] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["3fff::", 20],
] as const) {
  closed.addSubnet(network, prefix, "ipv6")
}

/** The eight groups of an IPv6 address; a URL spells it in one way only. */
const groupsOf = (address: string): ReadonlyArray<number> | undefined => {
  const url = URL.parse(`http://[${address}]/`)
  if (url === null) return undefined
  const [head = "", tail] = url.hostname.slice(1, -1).split("::")
  const numbers = (text: string) =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16))
  const [first, last] = [numbers(head), numbers(tail ?? "")]
  return [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last]
}

const dotted = (high = 0, low = 0): string => [high >> 8, high & 255, low >> 8, low & 255].join(".")

/** The IPv4 address inside of one that is mapped (::ffff:0:0/96), NAT64 or 6to4. */
const embedded = (groups: ReadonlyArray<number>): string | undefined => {
  const start = groups.slice(0, 6).join()
  if (start === "0,0,0,0,0,65535" || start === "100,65435,0,0,0,0") {
    return dotted(groups[6], groups[7])
  }
  return groups[0] === 0x2002 ? dotted(groups[1], groups[2]) : undefined
}

/**
 * Whether an address is a public one: not loopback, private, link-local, shared, documentation,
 * multicast or reserved, nor IPv6 around such an IPv4 address.
 */
export const isPublicAddress = (address: string): boolean => {
  const family = isIP(address)
  if (family === 4) return !closed.check(address, "ipv4")
  if (family !== 6) return false
  const groups = groupsOf(address)
  if (groups === undefined) return false
  const inside = embedded(groups)
  if (inside !== undefined) return isPublicAddress(inside)
  // Only 2000::/3 is given out.
  return ((groups[0] ?? 0) & 0xe000) === 0x2000 && !closed.check(address, "ipv6")
}

/** A host stands for an address that no webhook may reach. */
export class AddressError extends Error {
  override readonly name = "AddressError"
  readonly code = "EADDRFORBIDDEN"
  constructor(host: string, address: string) {
    super(`'${host}' resolves to ${address}, which is not a public address`)
  }
}

/** Finds a host's addresses. */
export type Resolver = (
  host: string,
  callback: (error: NodeJS.ErrnoException | null, found: ReadonlyArray<LookupAddress>) => void,
) => void

const byDns: Resolver = (host, callback) => {
  resolve(host, { all: true }, callback)
}

/**
 * For sockets: resolves a name and hands over its addresses only when each of them is public, so
 * that what was checked is what is connected to, whatever the name means a moment later.
 */
export const publicLookup =
  (resolver: Resolver = byDns): LookupFunction =>
  (host, options, callback) => {
    resolver(host, (error, found) => {
      if (error !== null) {
        callback(error, [])
        return
      }
      const wrong = found.find(({ address }) => !isPublicAddress(address))
      const [first] = found
      if (wrong !== undefined) {
        callback(new AddressError(host, wrong.address), [])
      } else if (first === undefined) {
        callback(new AddressError(host, "nothing"), [])
      } else if (options.all === true) {
        callback(null, [...found])
      } else {
        callback(null, first.address, first.family)
      }
    })
  }
