/// The variables of a block that has its own: the template, a loop's turn, a macro's call. Names that it lacks are its parent's.
final class TemplateScope {
    let parent: TemplateScope?
    private var variables: [TemplateSymbol: TemplateValue] = [:]

    init(in parent: TemplateScope?) { self.parent = parent }

    subscript(name: TemplateSymbol) -> TemplateValue? {
        get {
            var scope: TemplateScope? = self
            while let current = scope {
                if let value = current.variables[name] { return value }
                scope = current.parent
            }
            return nil
        }
        set { variables[name] = newValue }
    }

    func removeAll() { variables = [:] }
}
