//! Stage histograms: recorded without locks by one owner each, merged on read.
