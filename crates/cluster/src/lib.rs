//! The protocols between replicas as state machines: events in, effects out, time as an argument.
