"""What happens to text: pure functions over Arrow tables, and the stages that apply them to one part."""
