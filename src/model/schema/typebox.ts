// The build puts the library itself into the compiled file: loading its 680 modules took half of a process's start.
export { default as Type } from 'typebox';
export type { Static, TProperties, TSchema } from 'typebox';
export { Compile } from 'typebox/compile';
export { Check, Errors } from 'typebox/value';
