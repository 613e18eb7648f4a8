import { chmod } from 'node:fs/promises';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { request as httpsRequest } from 'node:https';

/** The only thing that the upload client can reach. */
export interface UploadProxy {
  close(): Promise<void>;
}

const routes = /^\/\.executors\/(scip|lsif)\/upload(\?|$)/;
/** Headers that belong to one connection and not to the request. */
const hopHeaders = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'host'];

/**
 * Listens on a socket in a directory that is bound into the client's sandbox, and forwards requests for the upload routes to
 * the configured instance: nothing else, and nowhere else, whatever the client asks for. `headers` name the job; the client
 * brings its credential itself. `answered` is told the status of each answer, and null when there is none.
 */
export async function openUploadProxy(
  socketPath: string,
  instanceUrl: string,
  headers: Readonly<Record<string, string>>,
  answered: (status: number | null) => void,
): Promise<UploadProxy> {
  const base = instanceUrl.replace(/\/+$/, '');
  const server = createServer((request, response) => {
    if (!routes.test(request.url ?? '')) {
      response.writeHead(403).end('only the upload routes are reachable from here');
      return;
    }
    forward(request, response, new URL(`${base}${request.url}`), headers, answered);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(socketPath, resolve);
  });
  await chmod(socketPath, 0o660); // the client's uid has our group
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function forward(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  headers: Readonly<Record<string, string>>,
  answered: (status: number | null) => void,
): void {
  const kept: OutgoingHttpHeaders = { ...request.headers, ...headers };
  for (const name of hopHeaders) delete kept[name];
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const onward = send(url, { method: request.method, headers: kept }, (answer) => {
    answered(answer.statusCode ?? null);
    const back = { ...answer.headers };
    for (const name of hopHeaders) delete back[name];
    response.writeHead(answer.statusCode ?? 502, back);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  onward.on('error', (error) => {
    // After an answer, or when the client has left, it says nothing of the instance.
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    answered(null);
    response.writeHead(502).end(`the instance could not be reached: ${error.message}`);
  });
  request.on('error', () => onward.destroy());
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}
