"""Pure decisions: values in, values out, standard library only. No I/O, no clock, no logging; raises only `errors`."""
