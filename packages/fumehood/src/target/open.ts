import { setGlobalProxyFromEnv } from 'node:http';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { type Client, openClient } from '@fumehood/client';

/**
 * Opens a client of an instance elsewhere. Over TLS it trusts the certificates of this system besides those of Node, and uses the proxy
 * of HTTPS_PROXY and NO_PROXY, as other programs of the system do.
 */
export function openRemote(url: string, token: string): Client {
  if (url.startsWith('https:')) {
    setDefaultCACertificates([...new Set([...getCACertificates('default'), ...getCACertificates('system')])]);
    setGlobalProxyFromEnv();
  }
  return openClient({ url, token });
}
