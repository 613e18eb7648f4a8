import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
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

const nft = '/usr/sbin/nft';
const tun = '/dev/net/tun';

/** Names of the handles, in the order in which the program sends them. */
export const networkHandleNames = [
  'connections',
  'questions',
] as const satisfies readonly (keyof NetworkHandles)[];

/** Returns why this host cannot give a guest a network, or null. */
export function networkMissing(): string | null {
  if (process.getuid?.() !== 0) return 'it makes a network namespace, which needs root';
  if (!existsSync(nft)) return 'it needs the Debian package nftables';
  return existsSync(tun) ? null : `it needs ${tun}`;
}

/** Returns the command that runs `command` with a tap as descriptor `tap`. The channel to Node has the number `channel`. */
export function networkCommand(
  tools: NetworkTools,
  fds: { readonly tap: number; readonly channel: number },
  command: readonly string[],
): string[] {
  return [
    tools.program,
    ...['--tap', String(fds.tap), '--channel', String(fds.channel)],
    ...['--nft', nft, '--device', 'tap0', '--', ...command],
  ];
}

/** Waits for the handles that the program sends. Errors: `vm_refused` when it ends before. */
export async function networkHandles(child: ChildProcess): Promise<NetworkHandles> {
  const got: Partial<Record<keyof NetworkHandles, NetworkHandle>> = {};
  return await new Promise((resolve, reject) => {
    const end = () => {
      for (const handle of Object.values(got)) handle.close();
      reject(vmRefused('its network could not be made'));
    };
    child.once('disconnect', end);
    child.on('message', (name, handle) => {
      got[name as keyof NetworkHandles] = handle as unknown as NetworkHandle;
      if (!got.connections || !got.questions) return;
      child.off('disconnect', end);
      resolve({ connections: got.connections, questions: got.questions });
    });
  });
}
