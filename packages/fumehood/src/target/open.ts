import { type Client, openClient } from '@fumehood/client';
import { useSystemNetwork } from './system-network.ts';

/** Opens a client of an instance elsewhere. Over TLS it uses the certificates and the proxy of this system. */
export function openRemote(url: string, token: string): Client {
  if (url.startsWith('https:')) useSystemNetwork();
  return openClient({ url, token });
}
