/**
 * The wire types the sidebar reads, as the server's `schema` package defines them.
 */

/** The version of the events format that this sidebar understands. */
export const EVENTS_FORMAT = 1;

/** A named input or output of a service. */
export interface IParameter {
  readonly name: string;
  readonly type: string;
}

/** A service version, as the server shows it to this user. */
export interface IServiceView {
  readonly name: string;
  readonly version: string;
  readonly versionPublishedBy: string;
  /** ISO 8601 in UTC, without a zone. */
  readonly creationTime: string;
  readonly description: string | null;
  readonly operationId: string | null;
  readonly inputParameterDefinitions: readonly IParameter[];
  readonly outputParameterDefinitions: readonly IParameter[];
}

/** The first message of the events stream: everything, as of `seq`. */
export interface IPicture {
  readonly type: 'snapshot';
  readonly format: number;
  readonly seq: number;
  readonly services: readonly IServiceView[];
}

/** A version was published, updated or deleted; then `service` is null. */
export interface IServiceChanged {
  readonly type: 'service';
  readonly seq: number;
  readonly action: string;
  readonly name: string;
  readonly version: string;
  readonly service: IServiceView | null;
}

/** Any message of the events stream. */
export type Message = IPicture | IServiceChanged;

/** What every refusal answers. */
export interface IErrorBody {
  readonly message: string;
}
