/** Placeholder until the stream helpers in use are written. @module */
export {};
