import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { Clock } from '@fumehood/base';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { TlsConfig } from '../config.ts';
import { boundConnections, headOptions } from './connections.ts';
import type { RequestLimits } from './limits.ts';
import { listenFailed, tlsUnusable } from '../start-errors.ts';

/** How often the files are read again. */
const pollMs = 5_000;
/** Fastify's default for its own server. */
export const keepAliveMs = 72_000;

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A server that answers over TLS as the app does. */
export interface TlsServer {
  readonly server: Server;
  /**
   * Follows changes of the files until the signal is aborted. When they hold no valid pair, the error is logged once, and the former
   * pair stays in use.
   */
  follow(signal: AbortSignal): Promise<void>;
}

/** Listens with a certificate and its key. The app must be ready. Errors: `tls_unusable`, `listen_failed`. */
export async function listenTls(
  app: FastifyInstance,
  config: TlsConfig,
  deps: { readonly clock: Clock; readonly log: Logger; readonly limits: RequestLimits },
): Promise<TlsServer> {
  const { clock, log, limits } = deps;
  let pair = await readPair(config);
  checkPair(config, pair, deps);
  const options = { ...pair, ...headOptions(limits), handshakeTimeout: limits.headMs };
  const server = createServer(options, (request, response) => app.routing(request, response));
  boundConnections(server, limits.connectionsPerAddress, log);
  server.keepAliveTimeout = keepAliveMs;
  try {
    await once(server.listen({ host: config.address, port: config.port }), 'listening');
  } catch (error) {
    throw listenFailed(config.address, config.port, (error as Error).message);
  }
  const reload = async () => {
    const found = await readPair(config);
    if (found.cert === pair.cert && found.key === pair.key) return;
    pair = found; // even if it is invalid, so that it is logged once
    checkPair(config, found, deps);
    server.setSecureContext(found);
    log.info({ file: config.certificateFile }, 'the certificate was replaced');
  };
  return {
    server,
    async follow(signal) {
      let logged = '';
      while (!signal.aborted) {
        await clock.sleep(pollMs, signal).catch(() => {});
        if (signal.aborted) return;
        try {
          await reload();
          logged = '';
        } catch (error) {
          const { message } = error as Error;
          if (message !== logged) log.error({ error }, 'the former certificate stays in use');
          logged = message;
        }
      }
    },
  };
}

async function readPair({ certificateFile, keyFile }: TlsConfig): Promise<Pair> {
  const read = (file: string) =>
    readFile(file, 'utf8').catch((error: unknown) => {
      throw tlsUnusable(file, (error as Error).message);
    });
  return { cert: await read(certificateFile), key: await read(keyFile) };
}

/** Checks a certificate and its key. One that has expired is logged, and used. Errors: `tls_unusable`. */
function checkPair(
  { certificateFile, keyFile }: TlsConfig,
  { cert, key }: Pair,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): void {
  const certificate = parsePem(certificateFile, () => {
    createSecureContext({ cert });
    return new X509Certificate(cert);
  });
  const privateKey = parsePem(keyFile, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey))
    throw tlsUnusable(keyFile, `it is not the key of the certificate in ${certificateFile}`);
  if (Date.parse(certificate.validTo) < clock.now())
    log.warn({ file: certificateFile, validTo: certificate.validTo }, 'the certificate has expired');
}

function parsePem<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw tlsUnusable(file, (error as Error).message);
  }
}
