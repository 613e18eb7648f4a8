import { type ChildProcess, execFile } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import * as z from 'zod';
import { vmRefused } from '../errors.ts';

/** What a host needs for guests with a network. */
export interface NetworkTools {
  /** Path of the program that makes the network of a VM (`network.c`). */
  readonly program: string;
}

/** Sockets in the network namespace of a VM, as handles that only another Node process can be sent. */
export interface NetworkHandles {
  /** The listener that accepts all TCP of the guest. */
  readonly connections: NetworkHandle;
  /** The UDP socket for the guest's questions of DNS. */
  readonly questions: NetworkHandle;
}

/** A socket that this process holds for another one, and neither reads nor writes. */
export interface NetworkHandle {
  close(): void;
}

/** The guest's gateway and name server, as `network.c` and init have it. */
export const gatewayAddress = '172.31.0.1';

/** The guest's hardware address, which is the one that the rules of its namespace accept (`gate.nft`). */
export const guestMac = '02:00:00:00:00:02';
/** The name of the tap, in a namespace of its own. */
export const tapName = 'tap0';

const nft = '/usr/sbin/nft';
export const tun = '/dev/net/tun';

/** Names of the handles, in the order in which the program sends them. */
export const networkHandleNames = [
  'connections',
  'questions',
] as const satisfies readonly (keyof NetworkHandles)[];

/** Returns why this host cannot give a guest a network, or null. Without root the namespace is made in a user namespace of its own. */
export function networkMissing(): string | null {
  if (!existsSync(nft)) return 'it needs the Debian package nftables';
  if (!existsSync(tun)) return `it needs ${tun}`;
  if (process.getuid?.() === 0) return null;
  if (!isOpenToAll())
    return `without root it needs a ${tun} that everybody may open: run \`chmod 0666 ${tun}\` as root`;
  return userNamespacesMissing();
}

const isOpenToAll = () => (statSync(tun).mode & 0o006) === 0o006;

/** Returns why this user can make no user namespace, or null. */
function userNamespacesMissing(): string | null {
  const forbidden = [
    ['/proc/sys/user/max_user_namespaces', '0'],
    ['/proc/sys/kernel/unprivileged_userns_clone', '0'],
    ['/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1'],
  ] as const;
  const found = forbidden.find(
    ([file, value]) => existsSync(file) && readFileSync(file, 'latin1').trim() === value,
  );
  return found ? `without root it needs user namespaces, which ${found[0]} forbids` : null;
}

/** How a VMM gets its end of the tap: as a descriptor, or by its name, which only this user can open in the namespace of the tap. */
export type TapAccess = { readonly descriptor: number } | { readonly owner: number };

/** Returns why a VMM that opens its tap by its name cannot on this host, or null: the user of a VM opens the device, as everybody may under udev. */
export function namedTapMissing(): string | null {
  if (process.getuid?.() !== 0) return 'its VMM has to be in the namespace of the tap, which needs root';
  return isOpenToAll() ? null : `its VMM cannot open ${tun}: run \`chmod 0666 ${tun}\``;
}

/** Returns the command that runs `command` with a tap. The channel to Node has the number `channel`. */
export function networkCommand(
  tools: NetworkTools,
  { tap, channel }: { readonly tap: TapAccess; readonly channel: number },
  command: readonly string[],
): string[] {
  const access = 'owner' in tap ? ['--owner', String(tap.owner)] : ['--tap', String(tap.descriptor)];
  const flags = ['--channel', String(channel), '--nft', nft, '--device', tapName];
  return [tools.program, ...access, ...flags, '--', ...command];
}

/** The network of a VM, as the program that has made it reports it. */
export interface MadeNetwork {
  readonly handles: NetworkHandles;
  /** The inode number of its network namespace. */
  readonly namespace: number;
}

const madeSchema = z.object({ name: z.enum(networkHandleNames), namespace: z.int().positive() });

/** Waits for the handles that the program sends. Errors: `vm_refused` when it ends before. */
export async function madeNetwork(child: ChildProcess): Promise<MadeNetwork> {
  const got: Partial<Record<keyof NetworkHandles, NetworkHandle>> = {};
  return await new Promise((resolve, reject) => {
    const end = () => {
      for (const handle of Object.values(got)) handle.close();
      reject(vmRefused('its network could not be made'));
    };
    child.once('disconnect', end);
    child.on('message', (message, handle) => {
      const { name, namespace } = madeSchema.parse(message);
      got[name] = handle as unknown as NetworkHandle;
      const { connections, questions } = got;
      if (!connections || !questions) return;
      child.off('disconnect', end);
      resolve({ handles: { connections, questions }, namespace });
    });
  });
}

/** Returns the process and all that descend from it. One that has just ended has no descendants. */
async function family(pid: string): Promise<string[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1').catch(() => '');
  return [pid, ...(await Promise.all(children.split(' ').filter(Boolean).map(family))).flat()];
}

/**
 * Counts the sockets and taps of this process and of its descendants that are of a network namespace, and so keep it alive. The process that
 * serves the networks is one of these; it is not asked.
 */
export async function countHolders({ program }: NetworkTools, namespace: number): Promise<number> {
  const pids = await family(String(process.pid));
  const { stdout } = await promisify(execFile)(program, ['--holders', String(namespace), ...pids]);
  return Number(stdout);
}
