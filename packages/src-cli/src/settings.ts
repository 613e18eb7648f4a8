import { settingsInvalid } from './errors.ts';

/** Endpoint and credentials of requests. */
export interface Settings {
  readonly endpoint: URL;
  /** Headers of every request; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Unix socket through which requests go to the endpoint; null for a direct connection. */
  readonly socketPath: string | null;
}

const headerPrefix = 'SRC_HEADER_';

/** Reads the settings of the `src` command from its environment. Errors: `settings_invalid`. */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const { SRC_ENDPOINT: where, SRC_ACCESS_TOKEN: token, SRC_PROXY: proxy } = environment;
  const endpoint = where ? URL.parse(where) : null;
  if (!endpoint || !['http:', 'https:'].includes(endpoint.protocol))
    throw settingsInvalid(
      where ? `SRC_ENDPOINT is not an http or https URL: ${where}` : 'SRC_ENDPOINT is not set',
      'Set it to the URL of the instance.',
    );
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment))
    if (name.startsWith(headerPrefix) && value)
      headers[name.slice(headerPrefix.length).toLowerCase()] = value;
  if (token) {
    if (headers.authorization)
      throw settingsInvalid(
        'SRC_ACCESS_TOKEN and SRC_HEADER_AUTHORIZATION are both set',
        'Unset one of them.',
      );
    headers.authorization = `token ${token}`;
  }
  return { endpoint, headers, socketPath: proxy ? socketOf(proxy) : null };
}

function socketOf(proxy: string): string {
  const path = proxy.replace(/^unix:\/\//, '');
  if (path.startsWith('/')) return path;
  throw settingsInvalid(`SRC_PROXY is not a unix socket: ${proxy}`, 'Give it as unix:///path or /path.');
}
