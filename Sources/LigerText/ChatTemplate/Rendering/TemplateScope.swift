/// The variables of a block that has its own: the template, a loop's turn, a macro's call. Names that it lacks are its parent's.
final class TemplateScope {
    let parent: TemplateScope?
    private var variables: [(name: TemplateSymbol, value: TemplateValue)] = []

    init(in parent: TemplateScope?) { self.parent = parent }

    subscript(name: TemplateSymbol) -> TemplateValue? {
        get {
            var scope: TemplateScope? = self
            while let current = scope {
                if let variable = current.variables.last(where: { $0.name == name }) { return variable.value }
                scope = current.parent
            }
            return nil
        }
        set {
            guard let newValue else { return }
            if let index = variables.firstIndex(where: { $0.name == name }) {
                variables[index].value = newValue
            } else {
                variables.append((name, newValue))
            }
        }
    }

    func removeAll() { variables = [] }
}
