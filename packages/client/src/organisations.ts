import { type OrganisationRecord, organisationRecordSchema, organisationsSchema } from '@fumehood/protocol';
import type { Http } from './http.ts';

/** Manages organisations, whose members share batch changes and secrets. All but `list` is for admins. */
export interface OrganisationsClient {
  /** Returns those that the user is a member of; for an admin, all. */
  list(): Promise<OrganisationRecord[]>;
  /** Errors: `name_taken`. */
  create(name: string): Promise<OrganisationRecord>;
  /** Removes an organisation and its secrets. Errors: `organisation_not_found`, `organisation_in_use`. */
  remove(name: string): Promise<void>;
  /** Errors: `organisation_not_found`, `user_not_found`. */
  addMember(organisation: string, user: string): Promise<OrganisationRecord>;
  /** Errors: `organisation_not_found`, `member_not_found`. */
  removeMember(organisation: string, user: string): Promise<OrganisationRecord>;
}

const root = '/api/organisations';

/** Makes the part of a client for organisations. */
export function organisationsClient(http: Http): OrganisationsClient {
  const member = (method: 'DELETE' | 'PUT', organisation: string, user: string) =>
    http.ask(organisationRecordSchema, { method, path: `${root}/${organisation}/members/${user}` });
  return {
    list: async () => (await http.ask(organisationsSchema, { method: 'GET', path: root })).organisations,
    create: (name) => http.ask(organisationRecordSchema, { method: 'POST', path: root, json: { name } }),
    async remove(name) {
      await (await http.send({ method: 'DELETE', path: `${root}/${name}` })).body?.cancel();
    },
    addMember: (organisation, user) => member('PUT', organisation, user),
    removeMember: (organisation, user) => member('DELETE', organisation, user),
  };
}
