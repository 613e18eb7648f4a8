import { organisationPrefix } from '@fumehood/protocol';
import { namespaceNotFound } from '../organisations/errors.ts';
import { requireNamespace } from '../organisations/namespaces.ts';
import { idOf, keyIn } from './ids.ts';
import { orNull } from './or-null.ts';
import type { QueryContext, SchemaPart } from './part.ts';

/** Whose batch changes there are: users and organisations, as far as who asks may see them. */
export const namespacesPart: SchemaPart = {
  types: `
    extend type Query {
      "Null: nobody has this name whose batch changes you may see."
      user(username: String!): User
      organization(name: String!): Org
    }
    interface Namespace { id: ID!, url: String! }
    type Org implements Namespace { id: ID!, name: String!, url: String! }
  `,
  root: {
    user: ({ username }: { readonly username: string }, context) =>
      username.startsWith(organisationPrefix) ? null : nodeIfSeen(context, username),
    organization: ({ name }: { readonly name: string }, context) =>
      nodeIfSeen(context, `${organisationPrefix}${name}`),
  },
};

async function nodeIfSeen({ deps: { db }, person, inTurn }: QueryContext, namespace: string) {
  return await inTurn(() =>
    orNull(
      requireNamespace(db, person, namespace).then(() => namespaceNode(namespace)),
      'namespace_not_found',
    ),
  );
}

/** Makes the node of a namespace: a user's name, or `org/NAME`. */
export function namespaceNode(namespace: string) {
  if (!namespace.startsWith(organisationPrefix)) {
    const [id, url] = [idOf('User', namespace), `/users/${encodeURIComponent(namespace)}`];
    const siteAdmin = (_: unknown, { person }: QueryContext) =>
      person.name === namespace ? person.admin : null;
    return { __typename: 'User', id, url, username: namespace, displayName: null, siteAdmin };
  }
  const name = namespace.slice(organisationPrefix.length);
  return {
    __typename: 'Org',
    id: idOf('Org', name),
    url: `/organizations/${encodeURIComponent(name)}`,
    name,
  };
}

/** Returns the namespace that an id names; whether there is one, and who may use it, is another question. Errors: `namespace_not_found`. */
export function namespaceIn(id: string): string {
  const organisation = keyIn('Org', id);
  const namespace = keyIn('User', id) ?? (organisation && `${organisationPrefix}${organisation}`);
  if (namespace === null) throw namespaceNotFound(id);
  return namespace;
}
