import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { usage } from '../errors.ts';
import type { AdminSettings } from '../up/settings.ts';

/** The options of `fumehood instance start`. */
export interface InstanceOptions {
  readonly listen?: string;
  readonly url?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly behindProxy?: boolean;
  readonly logJson?: boolean;
}

/**
 * Returns the settings that the options and DATABASE_URL stand for. Errors: `usage`, for an address that other machines reach without TLS
 * among them.
 */
export function settingsOf(
  options: InstanceOptions,
  { DATABASE_URL }: NodeJS.ProcessEnv,
): Partial<AdminSettings> {
  const { url, tlsCert, tlsKey } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw usage('--tls-cert and --tls-key belong together', 'Give the PEM files of both.');
  if (DATABASE_URL === '') throw usage('DATABASE_URL is empty', 'Set it to postgres://…, or unset it.');
  return {
    ...(DATABASE_URL !== undefined && { databaseUrl: DATABASE_URL }),
    ...(url !== undefined && addressed(url)),
    ...listening(options),
  };
}

/** Clients may name the host of the URL besides those of settings.json. */
function addressed(text: string): Pick<AdminSettings, 'url' | 'hosts'> {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.search || url.hash)
    throw usage(`--url ${text} is not the address of an instance`, 'Give it as https://HOST[:PORT][/PATH].');
  return { url: text.replace(/\/+$/, ''), hosts: [url.hostname] };
}

function listening({
  listen,
  tlsCert,
  tlsKey,
  behindProxy,
}: InstanceOptions): Partial<Pick<AdminSettings, 'port' | 'tls' | 'plain'>> {
  const tls = tlsCert !== undefined && tlsKey !== undefined;
  if (listen === undefined) {
    if (tls || behindProxy)
      throw usage(
        `${tls ? '--tls-cert' : '--behind-proxy'} needs an address to listen on`,
        'Add --listen ADDRESS:PORT.',
      );
    return {};
  }
  const { address, port } = addressOf(listen);
  if (tls) return { tls: { address, port, certificateFile: resolve(tlsCert), keyFile: resolve(tlsKey) } };
  if (address.startsWith('127.')) return { port };
  if (behindProxy) return { plain: { address, port } };
  throw usage(
    `other machines reach ${listen}, and everybody on the way could read their secrets`,
    'Add --tls-cert and --tls-key, or --behind-proxy if a proxy in front of this address ends TLS.',
  );
}

function addressOf(text: string): { address: string; port: number } {
  const [, address = '', port = ''] = /^\[?([^\]]*?)\]?:(\d{1,5})$/.exec(text) ?? [];
  const named = address === 'localhost' ? '127.0.0.1' : address;
  if (isIP(named) === 0 || Number(port) > 65_535)
    throw usage(
      `--listen ${text} is not an address and a port`,
      'Give it as ADDRESS:PORT, such as 0.0.0.0:8443 for all addresses of this machine.',
    );
  return { address: named, port: Number(port) };
}
