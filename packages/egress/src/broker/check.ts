import type { BrokerKind } from '@fumehood/protocol';
import type { Target } from './targets.ts';

/** Longest path of a request with its query, characters. */
const pathMax = 4_096;
const pathPattern = /^(?:\/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)+$/;
const queryPattern = /^[A-Za-z0-9\-._~!$&'()*+,;=:@%/?[\]]*$/;
/** A name of npm with its scope, which npm's client asks for with an encoded slash. */
const scopedName = /^@[a-z0-9~-][\w.~-]*%2f[a-z0-9~-][\w.~-]*$/i;

/** Returns why an entry does not take a request, or null if it does. */
export function whyRefused(target: Target, method: string, url: string): string | null {
  const { grant, prefix } = target;
  if (url.length > pathMax) return `the path has more than ${pathMax} characters`;
  const [path = '', ...rest] = url.split('?');
  const query = rest.join('?');
  if (!pathPattern.test(path) || !queryPattern.test(query))
    return 'the path has characters that it must not have';
  if (!hasPlainSegments(grant.kind, path)) return 'the path has parts that servers read in more than one way';
  if (!path.startsWith(prefix)) return `the path is not below ${prefix}`;
  if (grant.kind === 'git') return whyNoFetch(method, path, query);
  const methods: readonly string[] =
    grant.kind === 'http' && target.isPrimary ? grant.methods : ['GET', 'HEAD'];
  return methods.includes(method) ? null : `it takes ${methods.join(', ')}, and not ${method}`;
}

/** Returns whether each part of a path is the same thing for every server: no `..`, in no spelling, and no encoded slash. */
function hasPlainSegments(kind: BrokerKind, path: string): boolean {
  const segments = path.slice(1).split('/');
  return segments.every((segment, at) => {
    if (segment === '') return at === segments.length - 1;
    if (kind === 'npm' && scopedName.test(segment)) return true;
    let text: string;
    try {
      text = decodeURIComponent(segment);
    } catch {
      return false;
    }
    // Some servers take what follows a `;` for no part of the name.
    const [name = ''] = text.split(';');
    return !/[/\\%\p{Cc}]/u.test(text) && name !== '.' && name !== '..';
  });
}

/** The two requests of a fetch over git's smart protocol. */
function whyNoFetch(method: string, path: string, query: string): string | null {
  const asks = method === 'GET' && path.endsWith('/info/refs') && query === 'service=git-upload-pack';
  const fetches = method === 'POST' && path.endsWith('/git-upload-pack') && query === '';
  return asks || fetches ? null : 'it takes what `git fetch` sends, and nothing else';
}
