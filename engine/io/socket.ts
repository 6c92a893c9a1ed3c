// socket.ts: listening sockets and addresses, through system calls (Linux). Cold: start-up and accept.
import { libc, outcome, scratch } from "./native.ts";

const enum Family {
  Unix = 1,
  Inet = 2,
  Inet6 = 10,
}

function parseIpv4(text: string): number[] | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  const bytes = parts.map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  return bytes.every((byte) => byte < 256) ? bytes : null;
}

function parseIpv6(text: string): number[] | null {
  if (!text.includes(":")) return null;
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const words = (half: string) =>
    half === "" ? [] : half.split(":").map((word) => Number.parseInt(word, 16));
  const left = words(halves[0]!);
  const right = halves.length === 2 ? words(halves[1]!) : [];
  const missing = 8 - left.length - right.length;
  if (missing < 0 || (halves.length === 1 && missing !== 0)) return null;
  const all = [...left, ...new Array<number>(missing).fill(0), ...right];
  if (all.some((word) => Number.isNaN(word) || word > 0xffff)) return null;
  return all.flatMap((word) => [word >> 8, word & 255]);
}

/** A listening TCP socket that others may share the port of (unless not `shared`), or -errno. `host` is a literal address, "*" or
 *  "localhost". -22 (EINVAL) for an address that is none. */
export function listenTcp(host: string, port: number, backlog: number, shared = true): number {
  const c = libc();
  const name = host === "*" ? "0.0.0.0" : host === "localhost" ? "127.0.0.1" : host;
  const v4 = parseIpv4(name);
  const v6 = v4 === null ? parseIpv6(name) : null;
  if (v4 === null && v6 === null) return -22;
  const fd = outcome(c.socket(v4 !== null ? Family.Inet : Family.Inet6, 0x80001 /* STREAM | CLOEXEC */, 0));
  if (fd < 0) return fd;
  const { view, u8, address } = scratch();
  view.setInt32(0, 1, true);
  c.setsockopt(fd, 1, 2, address, 4); // SOL_SOCKET SO_REUSEADDR
  if (shared) c.setsockopt(fd, 1, 15, address, 4); // SO_REUSEPORT
  if (v6 !== null) c.setsockopt(fd, 41, 26, address, 4); // IPV6_V6ONLY
  u8.fill(0, 0, 32);
  view.setUint16(0, v4 !== null ? Family.Inet : Family.Inet6, true);
  view.setUint16(2, port, false);
  u8.set(v4 ?? v6!, v4 !== null ? 4 : 8);
  const bound = outcome(c.bind(fd, address, v4 !== null ? 16 : 28));
  const listening = bound < 0 ? bound : outcome(c.listen(fd, backlog));
  if (listening < 0) {
    c.close(fd);
    return listening;
  }
  return fd;
}

/** Whether somebody listens on an address already: 0, or -errno of why it cannot be had. Sockets that share a port do
 *  not notice each other's processes, so the question is put with one that does not share. */
export function probeTcp(host: string, port: number): number {
  const fd = listenTcp(host, port, 1, false);
  if (fd < 0) return fd;
  libc().close(fd);
  return 0;
}

/** A listening Unix socket, or -errno. An old socket file that nobody listens on must have been removed. */
export function listenUnix(path: string, permissions: number, backlog: number): number {
  const c = libc();
  const bytes = new TextEncoder().encode(path);
  if (bytes.length > 107) return -36; // ENAMETOOLONG
  const fd = outcome(c.socket(Family.Unix, 0x80001, 0));
  if (fd < 0) return fd;
  const { view, u8, address } = scratch();
  u8.fill(0, 0, 110);
  view.setUint16(0, Family.Unix, true);
  u8.set(bytes, 2);
  let result = outcome(c.bind(fd, address, 3 + bytes.length));
  if (result >= 0 && permissions !== 0) result = outcome(c.chmod(address + 2, permissions));
  if (result >= 0) result = outcome(c.listen(fd, backlog));
  if (result < 0) {
    c.close(fd);
    return result;
  }
  return fd;
}

function readAddress(): string {
  const { view, u8 } = scratch();
  const family = view.getUint16(0, true);
  const port = view.getUint16(2, false);
  if (family === Family.Inet) return `${u8[4]}.${u8[5]}.${u8[6]}.${u8[7]}:${port}`;
  if (family === Family.Inet6) {
    const words = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + i * 2, false).toString(16));
    return `[${words.join(":").replace(/(^|:)0(:0)+(:|$)/, "::")}]:${port}`;
  }
  return "";
}

/** "ip:port" of the other end, "" for a Unix socket. */
export function peerAddress(fd: number): string {
  const { view, address } = scratch();
  view.setUint32(256, 128, true);
  return libc().getpeername(fd, address, address + 256) === 0 ? readAddress() : "";
}

/** "ip:port" of this end, "" for a Unix socket. */
export function localAddress(fd: number): string {
  const { view, address } = scratch();
  view.setUint32(256, 128, true);
  return libc().getsockname(fd, address, address + 256) === 0 ? readAddress() : "";
}

/** Sends small replies at once, and notices within minutes that the other end is gone. */
export function tuneConnection(fd: number, keepaliveSeconds: number): void {
  const c = libc();
  const { view, address } = scratch();
  view.setInt32(0, 1, true);
  c.setsockopt(fd, 6, 1, address, 4); // TCP_NODELAY
  if (keepaliveSeconds <= 0) return;
  c.setsockopt(fd, 1, 9, address, 4); // SO_KEEPALIVE
  view.setInt32(0, keepaliveSeconds, true);
  c.setsockopt(fd, 6, 4, address, 4); // TCP_KEEPIDLE
  view.setInt32(0, Math.max(1, Math.floor(keepaliveSeconds / 3)), true);
  c.setsockopt(fd, 6, 5, address, 4); // TCP_KEEPINTVL
  view.setInt32(0, 3, true);
  c.setsockopt(fd, 6, 6, address, 4); // TCP_KEEPCNT
}
