#if canImport(FoundationXML)
    // On Linux the parser of XML is a module of its own.
    @_exported public import FoundationXML
#endif
